/** `tallygate extproc`: the data plane's process, led by a policy file that it follows. */
import { readFileSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { resolve } from 'node:path';
import type { GatewayPolicy } from '../contract/policy.ts';
import { type Extproc, startExtproc } from '../extproc/main.ts';
import { newRecorder, type Recorder } from '../extproc/telemetry/recorder.ts';
import { loadEncodings } from '../extproc/tokens/encodings.ts';
import { type Address, parseAddress } from '../runtime/environment.ts';
import { watchPaths } from '../runtime/files.ts';
import { startHealthServer } from '../runtime/health.ts';
import { createLineWriter } from '../runtime/line-writer.ts';
import { createLog, type Log } from '../runtime/log.ts';
import type { OpenTelemetry } from '../runtime/open-telemetry.ts';
import { openOutput } from '../runtime/output.ts';
import { abortOnSignals, runSteps } from '../runtime/shutdown.ts';
import { readOptions, type Verb, wrongUse } from './verb.ts';

const usage = `Usage: tallygate extproc --policy FILE (--socket PATH | --listen HOST:PORT) [OPTION]…

Runs Envoy's ext_proc service alone. It follows the policy file that tallygate run writes.

  --policy FILE        the policy, in JSON; exchange it whole (rename) to change it
  --socket PATH        listen on a Unix socket
  --listen HOST:PORT   listen on TCP; only Envoy may reach it
  --journal FILE       keep holds and charges there, so that a restart loses none
  --metrics ADDRESS    HOST:PORT or unix:PATH for /metrics, /healthz and /readyz
                       (127.0.0.1:9464, TALLYGATE_METRICS_ADDRESS)
  --spare              get ready, and begin when a line comes on stdin
`;

const options = {
  policy: { type: 'string' },
  socket: { type: 'string' },
  listen: { type: 'string' },
  journal: { type: 'string' },
  metrics: { type: 'string' },
  spare: { type: 'boolean', default: false },
} as const;

const ACCESS_LINES_MAX_UNWRITTEN_BYTES = 8 * 1024 * 1024;
const CLOSE_DEADLINE_MS = 10_000;

export const extproc: Verb = async ({ args, settings }) => {
  const parsed = readOptions('extproc', args, options, usage);
  if (typeof parsed === 'number') return parsed;
  const { policy: policyPath, socket, listen: listenText, journal, metrics } = parsed.values;
  const listen = listenAt(socket, listenText);
  const metricsAddress = metrics === undefined ? settings.TALLYGATE_METRICS_ADDRESS : parseAddress(metrics);
  if (policyPath === undefined) return wrongUse('extproc', '--policy is missing', usage);
  if (listen === undefined) return wrongUse('extproc', 'give either --socket PATH or --listen HOST:PORT', usage);
  if (metricsAddress === undefined) return wrongUse('extproc', '--metrics must be HOST:PORT or unix:PATH', usage);

  const log = createLog({ level: settings.TALLYGATE_LOG_LEVEL, keys: { process: 'extproc' } });
  if (parsed.values.spare && !(await toldToBegin(socket ?? listenText ?? ''))) return 0;
  const { signal } = abortOnSignals(() => process.exit(1));
  const output = openOutput(1, ACCESS_LINES_MAX_UNWRITTEN_BYTES);
  const lines = settings.TALLYGATE_ACCESS_LOG === 'on' ? createLineWriter(output) : undefined;
  const recorder = newRecorder({ lines, nowMs: Date.now() });
  const service = await startExtproc({ listen, journalPath: journal, finished: recorder.record, log });
  const policy = followPolicy(resolve(policyPath), service, log);
  recorder.observe({
    buckets: (count) => service.store.top(count, Date.now()),
    openStreams: () => service.server.openStreams,
  });
  // It takes half a second to load: a processor that comes back after a crash serves before.
  const telemetry = startTelemetry(recorder, settings.OTEL_EXPORTER_OTLP_ENDPOINT !== undefined);
  const health = await startHealthServer({
    address: metricsAddress,
    readiness: () => ({ ready: service.ready && !signal.aborted, details: policy.details() }),
    metrics: async () => (await telemetry).prometheusText(),
  });
  // Also for a process that will be killed.
  telemetry.then(
    () => flushCompileCache(),
    () => {},
  );
  await new Promise<void>((done) => {
    if (signal.aborted) done();
    else signal.addEventListener('abort', () => done(), { once: true });
  });
  const clean = await runSteps(
    [
      { name: 'policy', deadlineMs: 1000, run: policy.close },
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

type Listen = Parameters<typeof startExtproc>[0]['listen'];

function listenAt(socket: string | undefined, text: string | undefined): Listen | undefined {
  if ((socket === undefined) === (text === undefined)) return undefined;
  if (socket !== undefined) return { path: socket };
  const address: Address | undefined = parseAddress(text ?? '');
  return address?.type === 'tcp' ? { host: address.host, port: address.port } : undefined;
}

interface FollowedPolicy {
  details(): Readonly<Record<string, string>>;
  close(): void;
}

/** What cannot be used leaves the last good one in force, and is told on `/readyz`. */
function followPolicy(path: string, service: Extproc, log: Log): FollowedPolicy {
  let read = '';
  let refused: Readonly<Record<string, string>> = {};
  const follow = () => {
    let version = '';
    try {
      const text = readFileSync(path, 'utf8');
      if (text === read) return;
      read = text;
      const policy = JSON.parse(text) as GatewayPolicy;
      version = String(policy.version);
      service.apply(policy);
      refused = {};
    } catch (error) {
      refused = { refused: version, refusal: error instanceof Error ? error.message : String(error) };
      log.error({ version, error }, 'the policy cannot be used; the last good one stays in force');
    }
  };
  const watch = watchPaths(follow, 0);
  watch.set([path]);
  follow();
  return {
    details: () => ({ policy: service.policyVersion ?? '', ...refused }),
    close: watch.close,
  };
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
