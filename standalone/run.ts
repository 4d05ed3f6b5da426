/**
 * The gateway on one machine: Envoy and extproc serve the resources of the files, and edits are
 * applied without dropping a stream. When the signal is aborted it shuts down in order: not ready,
 * drain, Envoy, extproc.
 */
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { newExchange } from '../cloud/exchange.ts';
import { TokenRenewer } from '../cloud/token-renewer.ts';
import { ConsoleApi } from '../console/api/api.ts';
import { consoleHandler } from '../console/api/server.ts';
import { socketSource } from '../console/api/socket-source.ts';
import type { OperatorMatch } from '../console/api/viewer.ts';
import type { KeyFetcher } from '../jwks/key-fetcher.ts';
import type { Address, Environment } from '../runtime/environment.ts';
import { writeAtomicallySync } from '../runtime/files.ts';
import { type HealthOptions, startHealthServer } from '../runtime/health.ts';
import type { HttpServer } from '../runtime/http-server.ts';
import type { Log } from '../runtime/log.ts';
import { joinMetrics, METRICS_TYPES } from '../runtime/metrics-format.ts';
import { aborted, runSteps, type ShutdownStep } from '../runtime/shutdown.ts';
import { ask } from '../runtime/unix-http.ts';
import { BOOTSTRAP_FILE, bootstrapText } from '../translate/envoy/files.ts';
import type { EnvoyOptions, Plan } from '../translate/plan.ts';
import { type ApplyDeps, applyPlan, extprocStatus } from './apply.ts';
import { type BudgetAlerts, newBudgetAlerts } from './budget-alerts.ts';
import { findCaBundle } from './ca-bundle.ts';
import { tokenMetrics } from './cloud-tokens.ts';
import { type ConfigReload, followConfig } from './config-reload.ts';
import { type EnvoyFiles, openEnvoyFiles } from './envoy-files.ts';
import { type EnvoyPaths, findEnvoy } from './find-envoy.ts';
import { issuerMetrics, newIssuerKeys, requestedKeysUrl } from './issuer-keys.ts';
import { type Loader, logResources, newLoader } from './load.ts';
import { OperatorError } from './operator-error.ts';
import { checkPorts, listenerPorts } from './ports.ts';
import { endLeftovers, newProcesses, type Processes, startProcesses } from './processes.ts';
import { openState, type State, type StateOptions } from './state.ts';

export interface RunOptions {
  /** Files and folders. */
  readonly paths: readonly string[];
  readonly state: StateOptions;
  readonly envoyPaths: EnvoyPaths;
  /** Envoy's worker threads. */
  readonly concurrency: number;
  readonly listenAddress: string;
  readonly metricsAddress: Address;
  /** Who sees the rows of all tenants in the console; undefined: there is no console. */
  readonly consoleOperators: readonly OperatorMatch[] | undefined;
  /** How long open streams may continue after the signal. */
  readonly drainTimeoutMs: number;
  readonly tallygate: readonly [command: string, ...args: string[]];
  /** Read by `\${…}` in Secrets; the child processes receive a few of its variables. */
  readonly environment: Environment;
  readonly caBundlePath: string | undefined;
  /** See `ExchangeOptions`. */
  readonly tokenProxy: string | undefined;
  readonly log: Log;
  readonly onReady: (ready: Ready) => void;
}

export interface Ready {
  readonly addresses: readonly string[];
  readonly metricsPort: number;
}

const PROCESS_END_MS = 5_000;
const EXTPROC_END_MS = 15_000;
const METRICS_DEADLINE_MS = 5_000;
/**
 * Slow issuers and clouds delay the start by this time at most; keys and tokens are applied when
 * they come.
 */
const FETCH_DEADLINE_MS = 2_000;

/**
 * Resolves after the shutdown, with whether all steps succeeded. Throws an OperatorError if a
 * person must fix something first.
 */
export async function runGateway(options: RunOptions, signal: AbortSignal): Promise<boolean> {
  const { log, drainTimeoutMs } = options;
  const { path: envoyPath, version } = await findEnvoy(options.envoyPaths);
  const state = openState(options.state);
  const gateway = new StandaloneGateway(options, state, envoyPath);
  let clean = true;
  try {
    const ready = await gateway.start(signal);
    log.info({ envoy: version, addresses: ready.addresses, state: state.folder }, 'ready');
    options.onReady(ready);
    await aborted(signal);
    log.info({ reason: String(signal.reason), drainTimeoutMs }, 'shutting down');
  } catch (error) {
    if (!signal.aborted) {
      throw error;
    }
  } finally {
    clean = await runSteps(gateway.shutdownSteps(), log);
  }
  return clean;
}

class StandaloneGateway {
  readonly #options: RunOptions;
  readonly #state: State;
  readonly #envoy: EnvoyOptions;
  readonly #issuerKeys: KeyFetcher;
  readonly #tokens: TokenRenewer;
  readonly #alerts: BudgetAlerts;
  readonly #loader: Loader;
  readonly #files: EnvoyFiles;
  readonly #processes: Processes;
  readonly #deps: ApplyDeps;
  #health: HttpServer | undefined;
  /** Set when everything has been started. */
  #reload: ConfigReload | undefined;
  #stopping = false;

  constructor(options: RunOptions, state: State, envoyPath: string) {
    const { paths, environment, tokenProxy, concurrency, tallygate, log } = options;
    this.#options = options;
    this.#state = state;
    this.#envoy = envoyOptions(options, state);
    const { keysPath, alertsPath, routeSecret } = state;
    const issuerKeys = newIssuerKeys({ path: keysPath, changed: () => this.#reload?.reload(), log });
    this.#issuerKeys = issuerKeys;
    const alerts = newBudgetAlerts({ path: alertsPath, log });
    this.#alerts = alerts;
    const exchange = newExchange({ environment, proxy: tokenProxy });
    const tokens = new TokenRenewer({ exchange, changed: () => this.#reload?.reload(), log });
    this.#tokens = tokens;
    this.#loader = newLoader({ paths, environment, envoy: this.#envoy, routeSecret, issuerKeys, tokens });
    this.#files = openEnvoyFiles(state.envoyFolder, () =>
      this.#processes.envoy.pid === undefined ? undefined : this.#processes.admin,
    );
    this.#processes = newProcesses({
      state,
      envoyPath,
      bootstrapPath: join(state.envoyFolder, BOOTSTRAP_FILE),
      concurrency,
      tallygate,
      environment,
      log,
      onEnvoyLine: this.#files.noteLine,
      onExtprocMessage: (message) => {
        issuerKeys.refetch(requestedKeysUrl(message) ?? '');
        alerts.take(message);
      },
    });
    const { policyPath, detectorSecretsPath, extprocAdminSocket } = state;
    this.#deps = { files: this.#files, policyPath, detectorSecretsPath, extprocAdminSocket, log };
  }

  async start(signal: AbortSignal): Promise<Ready> {
    const { listenAddress, log } = this.#options;
    await endLeftovers(this.#state, log);
    this.#state.emptyEnvoyFolder();
    const { plan, paths } = await this.#load();
    await checkPorts(listenAddress, listenerPorts(plan));
    writeAtomicallySync(join(this.#state.envoyFolder, BOOTSTRAP_FILE), bootstrapText(this.#envoy), 0o600);
    await applyPlan(plan, undefined, this.#deps);
    this.#alerts.want(plan.webhooks);
    this.#health = await startHealth({
      options: this.#options,
      state: this.#state,
      processes: this.#processes,
      issuerKeys: this.#issuerKeys,
      tokens: this.#tokens,
      alerts: this.#alerts,
      stopping: () => this.#stopping,
    });
    await startProcesses(this.#processes, this.#state, signal);
    this.#reload = followConfig({
      loader: this.#loader,
      plan,
      paths,
      log,
      apply: (after, before) => this.#apply(after, before),
    });
    return {
      addresses: listenerPorts(plan).map((port) => `${listenAddress}:${port}`),
      metricsPort: this.#health.port,
    };
  }

  /** Returns the steps in order. A step does nothing if its part was not started. */
  shutdownSteps(): readonly ShutdownStep[] {
    const { drainTimeoutMs, log } = this.#options;
    const { envoy, extproc } = this.#processes;
    return [
      {
        name: 'not ready',
        deadlineMs: 1000,
        run: () => {
          this.#stopping = true;
        },
      },
      { name: 'keys', deadlineMs: 1000, run: () => this.#issuerKeys.close() },
      { name: 'tokens', deadlineMs: 1000, run: () => this.#tokens.close() },
      { name: 'edits', deadlineMs: 15_000, run: () => this.#reload?.close() },
      {
        name: 'drain',
        deadlineMs: drainTimeoutMs + 5000,
        run: () => this.#reload && drain(this.#processes, drainTimeoutMs, log),
      },
      { name: 'Envoy', deadlineMs: PROCESS_END_MS + 1000, run: () => envoy.stop(PROCESS_END_MS) },
      { name: 'extproc', deadlineMs: EXTPROC_END_MS + 1000, run: () => extproc.stop(EXTPROC_END_MS) },
      { name: 'alerts', deadlineMs: 1000, run: () => this.#alerts.close() },
      { name: 'simulated model', deadlineMs: 1000, run: () => this.#loader.close() },
      { name: 'health server', deadlineMs: 1000, run: () => this.#health?.close() },
      { name: 'state', deadlineMs: 1000, run: () => this.#state.close() },
    ];
  }

  async #load(): Promise<{ readonly plan: Plan; readonly paths: readonly string[] }> {
    let loaded = await this.#loader.load();
    const { jwksSources = [], wantedTokens = [] } = loaded.plan ?? {};
    if (jwksSources.length + wantedTokens.length > 0) {
      await Promise.all([this.#issuerKeys.tried(FETCH_DEADLINE_MS), this.#tokens.tried(FETCH_DEADLINE_MS)]);
      loaded = await this.#loader.load();
    }
    const { plan, paths, errors } = loaded;
    if (plan === undefined) {
      throw new OperatorError(errors.join('\n'));
    }
    logResources(this.#options.log, loaded);
    return { plan, paths };
  }

  async #apply(after: Plan, before: Plan): Promise<void> {
    const old = new Set(listenerPorts(before));
    await checkPorts(
      this.#options.listenAddress,
      listenerPorts(after).filter((port) => !old.has(port)),
    );
    await applyPlan(after, before, this.#deps);
    this.#alerts.want(after.webhooks);
  }
}

function envoyOptions({ listenAddress, caBundlePath }: RunOptions, state: State): EnvoyOptions {
  return {
    directory: state.envoyFolder,
    extproc: { type: 'Unix', path: state.extprocSocket },
    admin: { type: 'Unix', path: state.envoyAdminSocket },
    listenAddress,
    caBundle: findCaBundle(caBundlePath, state.folder),
    heapBytes: envoyHeapBytes(),
  };
}

/** Half of the memory of the machine or container; the other half is for extproc and the system. */
function envoyHeapBytes(): number {
  const limit = process.constrainedMemory();
  return Math.floor((limit > 0 ? Math.min(limit, totalmem()) : totalmem()) / 2);
}

interface HealthSources {
  readonly options: RunOptions;
  readonly state: State;
  readonly processes: Processes;
  readonly issuerKeys: KeyFetcher;
  readonly tokens: TokenRenewer;
  readonly alerts: BudgetAlerts;
  readonly stopping: () => boolean;
}

async function startHealth({
  options,
  state,
  processes,
  issuerKeys,
  tokens,
  alerts,
  stopping,
}: HealthSources): Promise<HttpServer> {
  const { metricsAddress } = options;
  const server = startHealthServer({
    address: metricsAddress,
    pages: consolePages(options, state.quotaSocket),
    async readiness() {
      const [extproc, envoy] = await Promise.all([extprocStatus(state.extprocAdminSocket), processes.admin.isLive()]);
      const ready = !stopping() && envoy && extproc?.ready === true;
      return {
        ready,
        details: {
          envoy,
          extproc: extproc?.ready === true,
          policy: extproc?.policy ?? '',
          journal: extproc?.journal ?? '',
          ...(extproc?.quotaStore !== undefined && { quotaStore: extproc.quotaStore }),
          stopping: stopping(),
        },
      };
    },
    async metrics(format) {
      const accept = { accept: METRICS_TYPES[format] };
      const { body } = await ask(state.extprocAdminSocket, 'GET', '/metrics', METRICS_DEADLINE_MS, accept);
      const own = issuerMetrics(issuerKeys.counts()) + tokenMetrics(tokens.counts()) + alerts.metrics();
      return joinMetrics(format, body, own);
    },
  });
  return server.catch((error: NodeJS.ErrnoException) => {
    const where = metricsAddress.type === 'tcp' ? `${metricsAddress.host}:${metricsAddress.port}` : metricsAddress.path;
    throw new OperatorError(
      `the metrics address ${where} cannot be bound (${error.code}); choose another by --metrics or TALLYGATE_METRICS_ADDRESS`,
    );
  });
}

function consolePages({ consoleOperators, log }: RunOptions, quotaSocket: string): HealthOptions['pages'] {
  if (consoleOperators === undefined) {
    return undefined;
  }
  const onError = (error: unknown) => log.warn({ err: error }, 'console cannot answer');
  const api = new ConsoleApi({ source: socketSource(quotaSocket), operators: consoleOperators, onError });
  return consoleHandler({ answer: (request) => api.answer(request), onError });
}

/**
 * Tells clients to disconnect after their next response, stops listening, and waits for open
 * streams.
 */
async function drain({ envoy, admin }: Processes, timeoutMs: number, log: Log): Promise<void> {
  if (envoy.pid === undefined) {
    return;
  }
  await admin.startDrain();
  await admin.stopListening();
  const until = performance.now() + timeoutMs;
  let open = await admin.openRequests();
  while (open > 0 && performance.now() < until) {
    await sleep(50);
    open = await admin.openRequests();
  }
  if (open > 0) {
    log.warn({ streams: open }, 'closing open streams');
  }
}
