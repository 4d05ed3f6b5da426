/**
 * `tallygate extproc`: the process of the data plane, configured by a policy file or by the
 * controller.
 */
import { flushCompileCache } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import type { ContentDestination } from '../contract/content.ts';
import { PushedSecrets } from '../extproc/guard/external/pushed-secrets.ts';
import { SecretsFile } from '../extproc/guard/external/secrets-file.ts';
import { type Extproc, type ExtprocOptions, startExtproc } from '../extproc/main.ts';
import { followFile } from '../extproc/policy/file-source.ts';
import type { PolicySource, SharedStoreState } from '../extproc/policy/source.ts';
import { budgetReport, thresholdReport } from '../extproc/quota/budget-report.ts';
import { JournalError } from '../extproc/quota/journal-database.ts';
import type { BudgetAlert, Overdraft } from '../extproc/quota/store.ts';
import type { ContentExport } from '../extproc/telemetry/content/content-export.ts';
import { newRecorder, type Recorder } from '../extproc/telemetry/recorder.ts';
import type { Traces } from '../extproc/telemetry/traces/traces.ts';
import { loadEncodings } from '../extproc/tokens/encodings.ts';
import { startHealthServer } from '../runtime/health.ts';
import { exitOnUncaught } from '../runtime/last-resort.ts';
import { createLineWriter } from '../runtime/line-writer.ts';
import { createLog, type Log } from '../runtime/log.ts';
import type { OpenTelemetry, OtlpMetrics } from '../runtime/open-telemetry.ts';
import { openOutput } from '../runtime/output.ts';
import { aborted, abortOnSignals, runSteps, type ShutdownStep } from '../runtime/shutdown.ts';
import { OperatorError } from '../standalone/operator-error.ts';
import { AccessLineTap } from './access-line-tap.ts';
import { ConsoleCalls } from './console-calls.ts';
import { contentDestinationsOf, openContentExport, warningSink } from './content-settings.ts';
import type { Settings } from './environment.ts';
import { type ExtprocFlags, readFlags } from './extproc-flags.ts';
import { observedSources } from './observed-sources.ts';
import { type QuotaBooks, type QuotaServer, startQuotaServer } from './quota-server.ts';
import { RefusedRequests } from './refused-requests.ts';
import { sharedStoreOf } from './shared-store.ts';
import { openTraces, optsIntoLatest, otlpMetrics, telemetryService } from './telemetry-settings.ts';
import type { Verb } from './verb.ts';
import { versionText } from './version.ts';

/**
 * Keeps V8 from allocating in the old generation what survived often in a first sample. In a third
 * of the runs it chose the header lists of requests, which then were promoted with their strings
 * (800 bytes per request), although nearly all objects live as long as their request.
 */
const NO_PRETENURING = '--no-allocation-site-pretenuring';

const MAX_UNWRITTEN_ACCESS_LINE_BYTES = 8 * 1024 * 1024;
const CLOSE_DEADLINE_MS = 10_000;
/** What the collector has not accepted by then is lost. */
const TELEMETRY_DEADLINE_MS = 2_000;
/** More than a status shows, because the fullest keys differ between proxies. */
const MAX_REPORTED_BUDGETS = 50;

export const extproc: Verb = async ({ args, settings }) => {
  const flags = readFlags(args, settings);
  if (typeof flags === 'number') {
    return flags;
  }
  setFlagsFromString(NO_PRETENURING);
  exitOnUncaught({ process: 'extproc' });
  const log = createLog({ level: settings.TALLYGATE_LOG_LEVEL, keys: { process: 'extproc' } });
  if (flags.spare && !(await waitToBegin(flags.where))) {
    return 0;
  }
  const { signal } = abortOnSignals(() => process.exit(1));
  const { steps } = await start(flags, settings, log, signal);
  await aborted(signal);
  const clean = await runSteps(steps, log);
  await log.flush();
  process.exit(clean ? 0 : 1);
};

/** Starts everything, and returns the steps of the shutdown in order. */
async function start(
  flags: ExtprocFlags,
  settings: Settings,
  log: Log,
  signal: AbortSignal,
): Promise<{ readonly steps: readonly ShutdownStep[] }> {
  const output = openOutput(1, MAX_UNWRITTEN_ACCESS_LINE_BYTES);
  const lines = settings.TALLYGATE_ACCESS_LOG === 'on' ? new AccessLineTap(createLineWriter(output)) : undefined;
  const hashesKeys = settings.TALLYGATE_METRIC_KEYS === 'hashed';
  const description = telemetryService('tallygate');
  const traces = await openTraces(settings, description, log);
  const isTraced = traces?.isTraced;
  const recorder = newRecorder({ lines, nowMs: Date.now(), hashesKeys, latest: optsIntoLatest(settings), isTraced });
  let source: PolicySource | undefined;
  const requestKeys = (url: string) => source?.requestKeys(url);
  const refused = new RefusedRequests();
  const alerted = (alert: BudgetAlert) => {
    recorder.alert(alert);
    source?.reportAlert(thresholdReport(alert, hashesKeys));
  };
  const storeChanged = (status: SharedStoreState) => {
    recorder.store.changed(status.state);
    source?.reportSharedStore?.(status);
  };
  const pushed = new PushedSecrets();
  const content = openContentExport(settings, log);
  const told = { recorder, traces, content, refused, requestKeys, alerted, storeChanged };
  const hooks = { ...told, overdrawn: recorder.overdraft, pushed, log };
  const service = await startService(flags, settings, hooks);
  const plainErrors = settings.TALLYGATE_ERROR_DETAIL === 'plain';
  const console = new ConsoleCalls({ service, refused, plainErrors, log });
  const contentDestinations = contentDestinationsOf(settings, traces !== undefined);
  const sourceHooks = { pushed, hashesKeys, contentDestinations, console, log };
  const policy = await openPolicySource(flags, service, sourceHooks);
  source = policy;
  policy.reportSharedStore?.(service.sharedStore);
  recorder.observe(observedSources(service, policy, traces?.queue, content));
  // Loading takes half a second: a restarted extproc serves before that.
  const telemetry = startTelemetry(recorder, otlpMetrics(settings, description));
  const health = await startHealthServer({
    address: flags.metricsAddress,
    readiness: () => ({
      ready: service.ready && !signal.aborted,
      details: { ...policy.details(), ...journalDetails(flags, service), ...storeDetails(service) },
    }),
    metrics: async (format) => (await telemetry).prometheusText(format),
  });
  const { store, usage: records, audit } = service;
  const books = { store, usage: records, audit, refused, console, ...(lines && { lines }) };
  const quotaServer = await openQuotaServer(flags, books, log);
  // Now, because the process may be killed without a shutdown.
  telemetry.then(
    () => flushCompileCache(),
    () => {},
  );
  const closeTelemetry = async () => {
    // First, because spans wait for their redacted content.
    await content.close(TELEMETRY_DEADLINE_MS);
    await Promise.all([
      traces?.close(TELEMETRY_DEADLINE_MS),
      telemetry.then((one) => one.shutdown(TELEMETRY_DEADLINE_MS)),
    ]);
  };
  const closeOutput = () => {
    lines?.close();
    return output.close(1500);
  };
  return {
    steps: [
      { name: 'policy', deadlineMs: 1000, run: () => policy.close() },
      { name: 'quota server', deadlineMs: 1000, run: () => quotaServer?.close() },
      { name: 'streams', deadlineMs: CLOSE_DEADLINE_MS + 1000, run: () => service.close(CLOSE_DEADLINE_MS) },
      { name: 'health server', deadlineMs: 1000, run: health.close },
      { name: 'telemetry', deadlineMs: 2 * TELEMETRY_DEADLINE_MS + 1000, run: closeTelemetry },
      { name: 'access lines', deadlineMs: 2000, run: closeOutput },
    ],
  };
}

interface ServiceHooks {
  readonly recorder: Recorder;
  readonly traces: Traces | undefined;
  readonly content: ContentExport;
  readonly refused: RefusedRequests;
  readonly requestKeys: (keysUrl: string) => void;
  readonly alerted: (alert: BudgetAlert) => void;
  readonly overdrawn: (overdraft: Overdraft) => void;
  readonly storeChanged: (status: SharedStoreState) => void;
  /** The secrets of detectors that the controller sends. */
  readonly pushed: PushedSecrets;
  readonly log: Log;
}

async function startService(
  { listen, journalPath, source, detectorSecretsPath }: ExtprocFlags,
  settings: Settings,
  { recorder, traces, content, refused, pushed, ...others }: ServiceHooks,
): Promise<Extproc> {
  const plainErrors = settings.TALLYGATE_ERROR_DETAIL === 'plain';
  const retention = {
    usageDays: settings.TALLYGATE_USAGE_DAYS,
    usageRequestDays: settings.TALLYGATE_USAGE_REQUEST_DAYS,
  };
  const finished: ExtprocOptions['finished'] = (record, overdrafts) => {
    recorder.record(record, overdrafts);
    content.record(record, (kept) => traces?.record(record, overdrafts, kept));
    refused.add(record);
  };
  const exports = settings.TALLYGATE_USAGE_EXPORT;
  if (exports.length > 0 && (journalPath === undefined || Math.min(...Object.values(retention)) === 0)) {
    throw new OperatorError(
      'TALLYGATE_USAGE_EXPORT needs a journal and single requests: set TALLYGATE_USAGE_DAYS and TALLYGATE_USAGE_REQUEST_DAYS to 1 or more, or unset it',
    );
  }
  // The controller names the store of a sidecar.
  const sharedStore = 'file' in source ? sharedStoreOf(settings) : undefined;
  const secrets =
    detectorSecretsPath === undefined
      ? pushed
      : new SecretsFile({ path: detectorSecretsPath, now: Date.now, log: others.log });
  const detectorSecret = (id: string) => secrets.value(id);
  const hooks = { finished, traces: traces?.options, storeAsked: recorder.store.asked, detectorSecret, ...others };
  const quotaOptions = { sharedStore, maxQuotaKeys: settings.TALLYGATE_QUOTA_KEYS };
  const usageOptions = { retention, exports, exportHeaders: settings.TALLYGATE_USAGE_EXPORT_HEADERS };
  try {
    return await startExtproc({ listen, journalPath, plainErrors, ...quotaOptions, ...usageOptions, ...hooks });
  } catch (error) {
    throw error instanceof JournalError ? new OperatorError(error.message) : error;
  }
}

/**
 * A failing journal is no reason to be unready: requests without a quota, or with one that fails
 * open, go on.
 */
function journalDetails({ journalPath }: ExtprocFlags, { store }: Extproc): Readonly<Record<string, string>> {
  return journalPath === undefined ? {} : { journal: store.journalFailure ?? 'ok' };
}

/** A lost store is no reason to be unready: `onStoreLoss` of each quota decides. */
function storeDetails({ sharedStore: { state, reason } }: Extproc): Readonly<Record<string, string>> {
  return state === 'unused' ? {} : { quotaStore: reason === '' ? 'ok' : reason };
}

interface PolicySourceHooks extends Pick<ServiceHooks, 'pushed' | 'log'> {
  readonly hashesKeys: boolean;
  readonly contentDestinations: readonly ContentDestination[];
  readonly console: ConsoleCalls;
}

async function openPolicySource(
  { source, journalPath }: ExtprocFlags,
  service: Extproc,
  { pushed, hashesKeys, contentDestinations, console, log }: PolicySourceHooks,
): Promise<PolicySource> {
  const sink = warningSink(service, contentDestinations, log);
  if ('file' in source) {
    // Only the process that starts extproc for one machine has a channel, and writes the policy.
    const tell = (message: object) => process.connected && process.send?.(message);
    return followFile(
      {
        path: resolve(source.file),
        requestKeys: (url) => tell({ refetchKeys: url }),
        reportAlert: (alert) => tell({ budgetAlert: alert }),
      },
      sink,
      log,
    );
  }
  // Loaded only here: standalone does not need a gRPC client, and starts sooner without one.
  const [{ followControllerAt }, { consoleReplies }] = await Promise.all([
    import('../extproc/sidecar/controller-source.ts'),
    import('./console-replies.ts'),
  ]);
  const storeFolder = journalPath && dirname(journalPath);
  const fullestBudgets = () => {
    const states = service.store.top(MAX_REPORTED_BUDGETS, Date.now()).filter(({ spent, held }) => spent + held > 0);
    return states.map((state) => budgetReport(state, hashesKeys));
  };
  const programVersion = versionText();
  const resting = () => service.health.resting(Date.now());
  const useDetectorSecrets = (secrets: Readonly<Record<string, string>>) => pushed.use(secrets);
  const kept = { storeFolder, useDetectorSecrets };
  const answerConsole = consoleReplies(console, log);
  const reports = { programVersion, contentDestinations, fullestBudgets, resting, answerConsole };
  return followControllerAt({ ...source, ...kept, ...reports }, sink, log);
}

async function openQuotaServer(
  { journalPath, quotaSocket }: ExtprocFlags,
  books: QuotaBooks,
  log: Log,
): Promise<QuotaServer | undefined> {
  const socket = quotaSocket ?? (journalPath === undefined ? undefined : join(dirname(journalPath), 'quota.sock'));
  if (socket === undefined) {
    return undefined;
  }
  try {
    return await startQuotaServer(socket, books, log);
  } catch (error) {
    log.warn({ socket, err: error }, 'quota socket not available');
    return undefined;
  }
}

/**
 * Does all slow work that has no effect outside the process, and waits for a line on stdin. Returns
 * false if the parent has ended.
 */
async function waitToBegin(where: string): Promise<boolean> {
  // The command line identifies the process, for people and for the cleanup after an earlier run.
  process.title = `tallygate in reserve for ${where}`;
  await loadEncodings();
  const begins = await new Promise<boolean>((resolve) => {
    process.stdin.once('data', () => resolve(true)).once('close', () => resolve(false));
  });
  process.stdin.destroy();
  process.title = [process.execPath, ...process.argv.slice(1)].join(' ');
  return begins;
}

async function startTelemetry(recorder: Recorder, otlp: OtlpMetrics | undefined): Promise<OpenTelemetry> {
  const [{ startOpenTelemetry }, { observeProcess, watchLoopDelay }] = await Promise.all([
    import('../runtime/open-telemetry.ts'),
    import('../runtime/loop-delay.ts'),
  ]);
  const telemetry = await startOpenTelemetry({ serviceName: 'tallygate', otlp, tables: [recorder.table] });
  observeProcess(telemetry.meterProvider.getMeter('tallygate'), watchLoopDelay());
  return telemetry;
}
