/**
 * The process of the data plane: Envoy's ext_proc service and its quota store. Receives policies by
 * `apply` and passes on one record for each request. It is ready once it has a policy.
 */
import { randomUUID } from 'node:crypto';
import type { GatewayPolicy } from '../contract/policy.ts';
import type { PolicyRevision } from '../contract/policy-version.ts';
import type { SharedStoreConfig } from '../contract/shared-store.ts';
import { newClock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import { OpenCallers } from './access/open-callers.ts';
import { identifyCaller, type OwnCaller } from './access/own-caller.ts';
import { TokenVerifier } from './access/token-verifier.ts';
import { failure } from './errors.ts';
import { type Exchange, type ExchangeHandler, firstHeader, type HeaderList } from './exchange.ts';
import { ExternalDetectors } from './guard/external/external-detectors.ts';
import { type CompiledPolicy, compiling } from './policy/compile.ts';
import { inSlices } from './policy/slices.ts';
import { dialectFor } from './providers/registry.ts';
import type { AuditTrail } from './quota/audit.ts';
import type { ExportState } from './quota/export/exporter.ts';
import type { ExportHeaders, UsageExportTarget } from './quota/export/target.ts';
import type { MemoryStore } from './quota/memory.ts';
import { memoryDefaults } from './quota/memory-options.ts';
import { type OpenStore, openQuotaStore } from './quota/open.ts';
import { type SharedStoreStatus, StoreSwitch } from './quota/shared/redis/store-switch.ts';
import type { BudgetAlert, Overdraft } from './quota/store.ts';
import { shownAmount } from './quota/units.ts';
import type { UsageArchive } from './quota/usage-archive.ts';
import type { UsageRetention } from './quota/usage-tables.ts';
import type { RequestRecord } from './record.ts';
import { type Server, startServer } from './server/server.ts';
import { Bodies } from './session/bodies.ts';
import { newComparison, newCountQueue } from './session/counting.ts';
import { drive, type LiveRequest, liveRequest } from './session/drive.ts';
import { FirstTokenTimes } from './session/first-token-times.ts';
import { Interruptions } from './session/interruptions.ts';
import { OpenAttempts } from './session/open-attempts.ts';
import { OutputEstimator } from './session/output-estimates.ts';
import { PassiveHealth } from './session/passive-health.ts';
import { refusal } from './session/replies.ts';
import { RestSharing } from './session/rest-sharing.ts';
import type { RevocableStream, SessionServices } from './session/services.ts';
import { loadEncodings } from './tokens/encodings.ts';
import { newMeter } from './tokens/meter.ts';
import { warmUpTokenizer } from './tokens/warm-up.ts';
import type { TraceOptions } from './trace-context.ts';

export interface ExtprocOptions {
  readonly listen: { readonly path: string } | { readonly host: string; readonly port: number };
  /** The file of the journal; undefined: nothing survives this process. */
  readonly journalPath: string | undefined;
  /** The most keys of all quotas in memory; absent: the default. */
  readonly maxQuotaKeys?: number;
  /** How long usage is kept in the journal; absent: the default. */
  readonly retention?: UsageRetention;
  /** Where single requests are exported to. */
  readonly exports?: readonly UsageExportTarget[];
  readonly exportHeaders?: ExportHeaders;
  /** How requests are traced; absent: they are not. */
  readonly traces?: TraceOptions | undefined;
  readonly finished: (outcome: RequestRecord, overdrafts: readonly Overdraft[]) => void;
  /** Called when usage reaches a threshold of `alertAt`. */
  readonly alerted?: (alert: BudgetAlert) => void;
  /** Called for an overdraft that is in no record of a request. */
  readonly overdrawn?: (overdraft: Overdraft) => void;
  /** Whether errors leave out what the operator has configured. */
  readonly plainErrors?: boolean;
  /** Called with the `keysUrl` of an authenticator when a token names an unknown key. */
  readonly requestKeys?: (keysUrl: string) => void;
  /** Returns the value of a secret for a detector of guardrails, by its id in the policy. */
  readonly detectorSecret?: (id: string) => string | undefined;
  /** The store in which replicas count together; absent: this process counts for itself. */
  readonly sharedStore?: SharedStoreConfig | undefined;
  /** Called when the state of the shared store changes. */
  readonly storeChanged?: (status: SharedStoreStatus) => void;
  /** Called for each exchange with the shared store. */
  readonly storeAsked?: (outcome: 'answered' | 'failed', latencyMs: number) => void;
  readonly log: Log;
}

export interface Extproc {
  /**
   * Puts a policy into force for requests that begin after the promise has resolved. Rejects if the
   * policy cannot be used or is older than the one in force, which then stays in force.
   */
  apply(policy: GatewayPolicy, revision: PolicyRevision): Promise<void>;
  /** Counts in another shared store from now on; undefined: in this process alone. */
  useSharedStore(config: SharedStoreConfig | undefined): void;
  readonly sharedStore: SharedStoreStatus;
  readonly ready: boolean;
  readonly policyVersion: string | undefined;
  readonly store: MemoryStore;
  readonly health: Pick<PassiveHealth, 'backends' | 'resting'>;
  /** Undefined where no usage is kept. */
  readonly usage: UsageArchive | undefined;
  readonly audit: AuditTrail;
  /** Records of usage that were not kept. */
  readonly usageLost: () => number;
  readonly server: Server;
  /** Returns the requests in flight, in no order. */
  requests(): readonly LiveRequest[];
  /**
   * Identifies a caller by the access policies in force, for pages of the gateway itself. `among`:
   * only by policies with these names.
   */
  identify(headers: HeaderList, among?: readonly string[]): Promise<OwnCaller>;
  /** Waits for open streams until the deadline, and charges those that are left as they stand. */
  close(deadlineMs: number): Promise<void>;
}

/** Between two looks for open streams whose credentials have expired. */
const EXPIRY_CHECK_MS = 1_000;

/** Usage that is not written to its file before waits in the journal for the next start. */
const USAGE_DEADLINE_MS = 1_000;

export async function startExtproc(options: ExtprocOptions): Promise<Extproc> {
  const { log } = options;
  await loadEncodings();
  await warmUpTokenizer();
  const now = newClock();
  const { store, usage, audit, usageLost } = openStore(options, now);
  const health = new PassiveHealth();
  const broken = new Interruptions(now);
  const shared = newSwitch(options, store, now);
  const restSharing = new RestSharing({ store: shared, health, nowMs: now, schedule: memoryDefaults.schedule });
  const useSharedStore = (config: SharedStoreConfig | undefined) => {
    shared.use(config);
    restSharing.use(config !== undefined);
    usage?.share(config);
  };
  useSharedStore(options.sharedStore);
  let policy: CompiledPolicy | undefined;
  const detectors = new ExternalDetectors({ secret: options.detectorSecret ?? (() => undefined), now });
  const owned = { policy: () => policy, store: shared.quotas, health, broken, now };
  const services = newServices(options, owned, detectors);
  const expiry = setInterval(() => endStreams(services.openCallers.expiredAt(now())), EXPIRY_CHECK_MS).unref();
  const server = await startServer({
    ...options.listen,
    handler: (exchange) => drive(exchange, services) ?? refuseUntilReady(exchange, now),
    beforeFlush: () => store.flush(),
    serving: () => policy !== undefined,
    exchangeBroken: ({ requestId, ...entry }) => broken.add(requestId, entry),
    log,
  });
  return {
    async apply(next, revision) {
      const compiled = await inSlices(compiling(next));
      await shared.known();
      if (!shared.quotas.define(next.quotas, revision, now())) {
        throw new Error('the policy is older than the one in force');
      }
      health.keepOnly(compiled.targetBackends);
      policy = compiled;
      endStreams(services.openCallers.revokedBy(compiled.apiKeys, now()));
      log.info({ version: next.version }, 'policy applied');
    },
    useSharedStore,
    get sharedStore() {
      return shared.status;
    },
    get ready() {
      return policy !== undefined;
    },
    get policyVersion() {
      return policy?.version;
    },
    store,
    health,
    usage,
    audit,
    usageLost,
    server,
    requests: () => server.handlers().flatMap((handler) => liveRequest(handler) ?? []),
    identify: (headers, among) => identify(headers, among, policy, services),
    async close(deadlineMs) {
      await server.close(deadlineMs);
      detectors.close();
      clearInterval(expiry);
      restSharing.close();
      await shared.close();
      store.flush();
      shared.quotas.close();
      await usage?.close(USAGE_DEADLINE_MS);
    },
  };
}

async function identify(
  headers: HeaderList,
  among: readonly string[] | undefined,
  policy: CompiledPolicy | undefined,
  { verifier, now }: SessionServices,
): Promise<OwnCaller> {
  if (policy === undefined) {
    return notReady;
  }
  const services = { keys: policy.apiKeys, verifier, nowMs: now() };
  return identifyCaller(policy.accessPolicies, headers, services, among);
}

function endStreams(streams: Iterable<RevocableStream>): void {
  for (const stream of streams) {
    stream.revoke();
  }
}

/** Opens the quota store, with its journal if there is a path, and logs what happens to it. */
function openStore(options: ExtprocOptions, now: () => number): OpenStore {
  const { journalPath, retention, exports = [], exportHeaders = {}, alerted = () => {}, log } = options;
  const opened = openQuotaStore({
    ...retention,
    exports,
    exportHeaders,
    onExport: (state) => logExport(state, log),
    nowMs: now,
    ...(journalPath !== undefined && { path: journalPath }),
    onError: (error) => log.error({ err: error }, 'internal error'),
    onTrouble: (error) => log.error({ err: error }, 'quota journal not writable'),
    onDamage: (damage) => {
      if (damage.linesLost + damage.windowsLost > 0) {
        log.error(damage, 'quota journal damaged, lost its unreadable part');
      } else {
        log.warn(damage, 'quota journal ended in an incomplete line, nothing lost');
      }
    },
    onAlert: (alert) => {
      const { bucket, percent, spent, limit } = alert;
      const { quota, values } = bucket;
      const amounts = { spent: shownAmount(quota, spent), limit: shownAmount(quota, limit) };
      log.warn({ quota: quota.id, key: values, percent, ...amounts }, 'budget reached a threshold');
      alerted(alert);
    },
    ...(options.maxQuotaKeys !== undefined && { maxBuckets: options.maxQuotaKeys }),
    ...(options.overdrawn !== undefined && { onOverdraft: options.overdrawn }),
    onUsageTrouble: (error) => log.error({ error }, 'usage records cannot be moved to their file, they wait'),
    onNearlyFull: (keys) => log.warn(keys, 'quota near its maximum of live keys'),
    onRecovery: (usageLost) =>
      log.warn(
        { usageLost },
        usageLost === 0
          ? 'quota journal writable again, nothing lost'
          : 'quota journal writable again, charges are complete, records of usage lost',
      ),
  });
  const { recovered } = opened;
  if (recovered.holds > 0) {
    log.warn(
      { holds: recovered.holds, charged: Object.fromEntries(recovered.charged) },
      'charged open holds of the last process in full',
    );
  }
  return opened;
}

function logExport({ failure, ...state }: ExportState, log: Log): void {
  if (failure === undefined) {
    log.info(state, 'usage export up to date');
  } else {
    log.warn({ ...state, failure }, 'usage export failing, records wait');
  }
}

/** Logs each change of the shared store once. */
function newSwitch(
  { storeChanged = () => {}, storeAsked = () => {}, log }: ExtprocOptions,
  store: MemoryStore,
  nowMs: () => number,
): StoreSwitch {
  const warned = new Set<string>();
  return new StoreSwitch(
    {
      nowMs,
      onError: (error) => log.error({ err: error }, 'internal error'),
      onStatus: (status) => {
        if (status.state === 'lost') {
          log.error({ reason: status.reason }, 'shared quota store lost');
        } else {
          log.info({}, status.state === 'available' ? 'shared quota store available' : 'shared quota store not used');
        }
        storeChanged(status);
      },
      onConnected: ({ product, version, warnings }) => {
        for (const warning of warnings.filter((text) => !warned.has(text))) {
          warned.add(warning);
          log.warn({ product, version, warning }, 'shared quota store may lose budgets');
        }
      },
      onExchange: storeAsked,
    },
    store,
  );
}

/** Returns what all sessions of the process share. */
function newServices(
  { finished, traces, plainErrors = false, requestKeys = () => {}, log }: ExtprocOptions,
  owned: Pick<SessionServices, 'policy' | 'store' | 'health' | 'broken' | 'now'>,
  detectors: ExternalDetectors,
): SessionServices {
  const epoch = randomUUID();
  let requests = 0;
  return {
    ...owned,
    openCallers: new OpenCallers(),
    verifier: new TokenVerifier({ nowMs: owned.now, requestKeys }),
    estimates: new OutputEstimator(),
    firstTokenTimes: new FirstTokenTimes(),
    counts: newCountQueue(),
    compares: newComparison(),
    newMeter,
    newId: () => `${epoch}/${requests++}`,
    random: Math.random,
    traces,
    finished,
    fault: (error) => log.error({ err: error }, 'internal error'),
    bodies: new Bodies({ now: owned.now }),
    openAttempts: new OpenAttempts(epoch),
    analyze: (...question) => detectors.analyze(...question),
    isJudge: (...claim) => detectors.isJudge(...claim),
    plainErrors,
  };
}

const notReady = failure('overloaded', 'The gateway has no policy yet. Try again shortly.', { retryAfterMs: 1000 });

/** Refuses all requests before the first policy. */
function refuseUntilReady(exchange: Exchange, now: () => number): ExchangeHandler {
  const nothing = () => {};
  return {
    requestHeaders(headers) {
      const first = (name: string) => firstHeader(headers, name);
      exchange.immediateResponse(refusal(dialectFor(first(':path') ?? '', first), notReady, [], now()));
    },
    requestBody: nothing,
    requestTrailers: nothing,
    responseHeaders: nothing,
    responseBody: nothing,
    responseTrailers: nothing,
    drained: nothing,
    closed: nothing,
  };
}
