/** `tallygate extproc`: the data plane's process, led by a policy file that it follows or by the controller. */
import { flushCompileCache } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { startExtproc } from '../extproc/main.ts';
import { JournalError } from '../extproc/quota/journal-database.ts';
import { newRecorder, type Recorder } from '../extproc/telemetry/recorder.ts';
import { loadEncodings } from '../extproc/tokens/encodings.ts';
import { type Address, parseAddress } from '../runtime/environment.ts';
import { startHealthServer } from '../runtime/health.ts';
import { exitOnUncaught } from '../runtime/last-resort.ts';
import { createLineWriter } from '../runtime/line-writer.ts';
import { createLog } from '../runtime/log.ts';
import type { OpenTelemetry } from '../runtime/open-telemetry.ts';
import { openOutput } from '../runtime/output.ts';
import { abortOnSignals, runSteps } from '../runtime/shutdown.ts';
import { OperatorError } from '../standalone/operator-error.ts';
import { type ControllerFlags, followControllerAt, followFile } from './policy-source.ts';
import { startQuotaServer } from './quota-server.ts';
import { readOptions, type Verb, wrongUse } from './verb.ts';

const usage = `Usage: tallygate extproc --policy FILE (--socket PATH | --listen HOST:PORT) [OPTION]…
       tallygate extproc --controller HOST:PORT --token FILE --ca FILE --socket PATH [OPTION]…

Runs Envoy's ext_proc service alone. It follows the policy file that tallygate run writes, or, beside
Envoy in a pod, the controller; it is ready when it has a policy.

  --policy FILE        the policy, in JSON; exchange it whole (rename) to change it
  --controller HOST:PORT
                       the controller that sends the policy; the last good one is kept beside the
                       socket, so that a restart needs no controller
  --token FILE         the pod's service account token that the controller wants to see
  --ca FILE            certificates of the authorities that the controller is held against
  --envoy-admin HOST:PORT
                       the admin interface of the Envoy beside: tells the controller whether Envoy
                       sends here what it should
  --socket PATH        listen on a Unix socket
  --listen HOST:PORT   listen on TCP; only Envoy may reach it
  --journal FILE       keep holds and charges there, so that a restart loses none
  --quota-socket PATH  where tallygate quota asks (beside the journal: quota.sock)
  --metrics ADDRESS    HOST:PORT or unix:PATH for /metrics, /healthz and /readyz
                       (127.0.0.1:9464, TALLYGATE_METRICS_ADDRESS)
  --spare              get ready, and begin when a line comes on stdin
`;

const options = {
  policy: { type: 'string' },
  controller: { type: 'string' },
  token: { type: 'string' },
  ca: { type: 'string' },
  'envoy-admin': { type: 'string' },
  socket: { type: 'string' },
  listen: { type: 'string' },
  journal: { type: 'string' },
  'quota-socket': { type: 'string' },
  metrics: { type: 'string' },
  spare: { type: 'boolean', default: false },
} as const;

const ACCESS_LINES_MAX_UNWRITTEN_BYTES = 8 * 1024 * 1024;
const CLOSE_DEADLINE_MS = 10_000;

export const extproc: Verb = async ({ args, settings }) => {
  const parsed = readOptions('extproc', args, options, usage);
  if (typeof parsed === 'number') {
    return parsed;
  }
  const { socket, listen: listenText, journal, metrics } = parsed.values;
  const source = sourceOf(parsed.values);
  const listen = listenAt(socket, listenText);
  const metricsAddress = metrics === undefined ? settings.TALLYGATE_METRICS_ADDRESS : parseAddress(metrics);
  if (typeof source === 'string') {
    return wrongUse('extproc', source, usage);
  }
  if (listen === undefined) {
    return wrongUse('extproc', 'give either --socket PATH or --listen HOST:PORT', usage);
  }
  if (metricsAddress === undefined) {
    return wrongUse('extproc', '--metrics must be HOST:PORT or unix:PATH', usage);
  }

  exitOnUncaught({ process: 'extproc' });
  const log = createLog({ level: settings.TALLYGATE_LOG_LEVEL, keys: { process: 'extproc' } });
  if (parsed.values.spare && !(await toldToBegin(socket ?? listenText ?? ''))) {
    return 0;
  }
  const { signal } = abortOnSignals(() => process.exit(1));
  const output = openOutput(1, ACCESS_LINES_MAX_UNWRITTEN_BYTES);
  const lines = settings.TALLYGATE_ACCESS_LOG === 'on' ? createLineWriter(output) : undefined;
  const recorder = newRecorder({
    lines,
    nowMs: Date.now(),
    hashesKeys: settings.TALLYGATE_METRIC_KEYS === 'hashed',
  });
  const plainErrors = settings.TALLYGATE_ERROR_DETAIL === 'plain';
  const service = await startExtproc({
    ...{ listen, journalPath: journal, finished: recorder.record, plainErrors, log },
  }).catch((error: unknown) => {
    throw error instanceof JournalError ? new OperatorError(error.message) : error;
  });
  const policy =
    'file' in source ? followFile(resolve(source.file), service, log) : await followControllerAt(source, service, log);
  recorder.observe({
    buckets: (count) => service.store.top(count, Date.now()),
    openStreams: () => service.server.openStreams,
    keys: (count) => service.store.keys(count),
    journalFails: () => service.store.journalFailure !== undefined,
    policyRefused: () => policy.details()['refused'] !== undefined,
  });
  // It takes half a second to load: a processor that comes back after a crash serves before.
  const telemetry = startTelemetry(recorder, settings.OTEL_EXPORTER_OTLP_ENDPOINT !== undefined);
  const health = await startHealthServer({
    address: metricsAddress,
    readiness: () => ({
      ready: service.ready && !signal.aborted,
      // Not a reason to be unready: what no quota holds, or one that fails open, goes on.
      details: { ...policy.details(), ...(journal !== undefined && { journal: service.store.journalFailure ?? 'ok' }) },
    }),
    metrics: async () => (await telemetry).prometheusText(),
  });
  const quotaSocket =
    parsed.values['quota-socket'] ?? (journal === undefined ? undefined : join(dirname(journal), 'quota.sock'));
  const quotaServer =
    quotaSocket === undefined
      ? undefined
      : await startQuotaServer(quotaSocket, service.store, log).catch((error: unknown) => {
          log.warn({ socket: quotaSocket, error: String(error) }, 'tallygate quota has no way in');
        });
  // Also for a process that will be killed.
  telemetry.then(
    () => flushCompileCache(),
    () => {},
  );
  await new Promise<void>((done) => {
    if (signal.aborted) {
      done();
    } else {
      signal.addEventListener('abort', () => done(), { once: true });
    }
  });
  const clean = await runSteps(
    [
      { name: 'policy', deadlineMs: 1000, run: policy.close },
      { name: 'quota server', deadlineMs: 1000, run: () => quotaServer?.close() },
      { name: 'streams', deadlineMs: CLOSE_DEADLINE_MS + 1000, run: () => service.close(CLOSE_DEADLINE_MS) },
      { name: 'health server', deadlineMs: 1000, run: health.close },
      { name: 'telemetry', deadlineMs: 3000, run: async () => (await telemetry).shutdown() },
      {
        name: 'access lines',
        deadlineMs: 2000,
        run: () => {
          lines?.close();
          return output.close(1500);
        },
      },
    ],
    log,
  );
  await log.flush();
  process.exit(clean ? 0 : 1);
};

/** All that takes long and changes nothing outside is done before. False: whoever had it in reserve has ended. */
async function toldToBegin(socket: string): Promise<boolean> {
  // Who looks at the processes, and who ends those that an earlier run left, goes by the command line.
  process.title = `tallygate in reserve for ${socket}`;
  await loadEncodings();
  const told = await new Promise<boolean>((resolve) => {
    process.stdin.once('data', () => resolve(true)).once('close', () => resolve(false));
  });
  process.stdin.destroy();
  process.title = [process.execPath, ...process.argv.slice(1)].join(' ');
  return told;
}

type Flags = Readonly<
  Partial<Record<'policy' | 'controller' | 'token' | 'ca' | 'envoy-admin' | 'socket', string | undefined>>
>;

/** A text: what is wrong. */
function sourceOf(flags: Flags): { readonly file: string } | ControllerFlags | string {
  const { policy, controller, token, ca, 'envoy-admin': envoyAdmin, socket } = flags;
  if ((policy === undefined) === (controller === undefined)) {
    return 'give either --policy FILE or --controller HOST:PORT';
  }
  if (policy !== undefined) {
    const only = (['token', 'ca', 'envoy-admin'] as const).find((name) => flags[name] !== undefined);
    return only === undefined ? { file: policy } : `--${only} goes with --controller only`;
  }
  if (controller === undefined || parseAddress(controller)?.type !== 'tcp') {
    return '--controller must be HOST:PORT';
  }
  if (token === undefined || ca === undefined) {
    return '--controller needs --token FILE and --ca FILE';
  }
  if (socket === undefined) {
    return '--controller needs --socket PATH';
  }
  const admin = envoyAdmin === undefined ? undefined : parseAddress(envoyAdmin);
  if (envoyAdmin !== undefined && admin?.type !== 'tcp') {
    return '--envoy-admin must be HOST:PORT';
  }
  return { controller, token, ca, socket, envoyAdmin: admin?.type === 'tcp' ? admin : undefined };
}

type Listen = Parameters<typeof startExtproc>[0]['listen'];

function listenAt(socket: string | undefined, text: string | undefined): Listen | undefined {
  if ((socket === undefined) === (text === undefined)) {
    return undefined;
  }
  if (socket !== undefined) {
    return { path: socket };
  }
  const address: Address | undefined = parseAddress(text ?? '');
  return address?.type === 'tcp' ? { host: address.host, port: address.port } : undefined;
}

async function startTelemetry(recorder: Recorder, otlp: boolean): Promise<OpenTelemetry> {
  const [{ startOpenTelemetry }, { observeProcess, watchLoopDelay }] = await Promise.all([
    import('../runtime/open-telemetry.ts'),
    import('../runtime/loop-delay.ts'),
  ]);
  const telemetry = await startOpenTelemetry({ serviceName: 'tallygate', otlp, tables: [recorder.table] });
  observeProcess(telemetry.meterProvider.getMeter('tallygate'), watchLoopDelay());
  return telemetry;
}
