/** `tallygate run`: the gateway on one machine. */
import { flushCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseAddress } from '../runtime/environment.ts';
import { createLog } from '../runtime/log.ts';
import { abortOnSignals } from '../runtime/shutdown.ts';
import { type Quickstart, quickstart } from '../standalone/quickstart.ts';
import { type Ready, runGateway } from '../standalone/run.ts';
import { stateHome } from './environment.ts';
import { sharedStoreOf } from './shared-store.ts';
import { readOptions, type Verb, wrongUse } from './verb.ts';

const usage = `Usage: tallygate run [FILE|FOLDER]… [OPTION]…

Runs Envoy and the ext_proc service on this machine, as configured by the resources in the files.
An object of a later argument replaces one of an earlier argument. Edits of the files apply at once;
an invalid edit keeps the last good state. Without a file, runs
an example with a simulated model, and with OpenAI and Anthropic if OPENAI_API_KEY and
ANTHROPIC_API_KEY are set. Writes access lines to stdout, and everything else to stderr.

  --name NAME          name of the instance; each has its own state (default)
  --address ADDRESS    address of the listeners; 0.0.0.0 opens them to the network
                       (127.0.0.1, TALLYGATE_ADDRESS)
  --metrics HOST:PORT  address of the console, /metrics, /healthz and /readyz
                       (127.0.0.1:9464, TALLYGATE_METRICS_ADDRESS)
  --envoy PATH         Envoy to run; by default from the project's tools, then from the PATH
                       (TALLYGATE_ENVOY)
  --concurrency N      worker threads of Envoy (one per core, TALLYGATE_CONCURRENCY)
  --drain-timeout N    seconds for open streams to end after SIGTERM or Ctrl-C; a second signal
                       ends them at once (30, TALLYGATE_DRAIN_TIMEOUT)
`;

const options = {
  name: { type: 'string', default: 'default' },
  address: { type: 'string' },
  metrics: { type: 'string' },
  envoy: { type: 'string' },
  concurrency: { type: 'string' },
  'drain-timeout': { type: 'string' },
} as const;

/**
 * Bounds V8's young generation, which otherwise grows far beyond what short-lived requests need:
 * with the default of 16 MB, resident memory under full load was 28 MB higher, in exchange for
 * 10% less CPU time.
 */
const YOUNG_GENERATION = '--max-semi-space-size=8';

/**
 * Bounds V8's heap (megabytes) at ten times what 5,000 open streams need. On a machine with much
 * memory, V8 would otherwise collect garbage late: 141 MB resident after 24,000 requests instead of
 * 195.
 */
const OLD_GENERATION = '--max-old-space-size=1024';

/**
 * Gives back what V8's threads have used to compile: 30 MB stayed in malloc heaps of their own, and
 * 15 MB in a heap that all threads share, because live blocks lie between. V8 takes such memory in
 * pieces of up to 32 KB, each of which is a mapping of its own here. The same as in the Dockerfile.
 */
const MALLOC = { MALLOC_ARENA_MAX: '1', MALLOC_MMAP_THRESHOLD_: '16384' };

export const run: Verb = async ({ args, settings }) => {
  const parsed = readOptions('run', args, options, usage);
  if (typeof parsed === 'number') {
    return parsed;
  }
  const { values, positionals } = parsed;
  if (!/^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/.test(values.name)) {
    return wrongUse('run', '--name must be at most 32 lower-case letters, digits and hyphens', usage);
  }
  const metricsAddress =
    values.metrics === undefined ? settings.TALLYGATE_METRICS_ADDRESS : parseAddress(values.metrics);
  if (metricsAddress === undefined) {
    return wrongUse('run', '--metrics must be HOST:PORT, :PORT or unix:PATH', usage);
  }
  const concurrency = whole(values.concurrency, settings.TALLYGATE_CONCURRENCY, 1, 1024);
  if (concurrency === undefined) {
    return wrongUse('run', '--concurrency must be a whole number from 1 to 1024', usage);
  }
  const drainSeconds = whole(values['drain-timeout'], settings.TALLYGATE_DRAIN_TIMEOUT, 0, 3600);
  if (drainSeconds === undefined) {
    return wrongUse('run', '--drain-timeout must be a whole number of seconds, at most 3600', usage);
  }
  // The ext_proc service reads the variables again; a mistake should end this program at once.
  sharedStoreOf(settings);

  const log = createLog({ level: settings.TALLYGATE_LOG_LEVEL, keys: { process: 'tallygate' } });
  const { signal, abort } = abortOnSignals(() => process.exit(1));
  // A process that the launcher or npm has started ends with it.
  if (process.connected) {
    process.once('disconnect', () => abort('the launcher has ended'));
  } else {
    endWithNpm(abort);
  }
  const example = positionals.length === 0 ? quickstart(settings) : undefined;
  const root = fileURLToPath(new URL('..', import.meta.url));
  const clean = await runGateway(
    {
      paths: example?.paths ?? positionals,
      state: { stateHome: stateHome(settings, homedir()), runtimeHome: settings.XDG_RUNTIME_DIR, name: values.name },
      envoyPaths: {
        named: values.envoy ?? settings.TALLYGATE_ENVOY,
        toolsFolder: join(root, '.tools/bin'),
        searchPath: settings.PATH,
      },
      concurrency,
      listenAddress: values.address ?? settings.TALLYGATE_ADDRESS,
      metricsAddress,
      consoleOperators: settings.TALLYGATE_CONSOLE === 'on' ? settings.TALLYGATE_CONSOLE_OPERATORS : undefined,
      drainTimeoutMs: drainSeconds * 1000,
      tallygate: [
        process.execPath,
        ...process.execArgv,
        YOUNG_GENERATION,
        OLD_GENERATION,
        fileURLToPath(new URL('bin.cjs', import.meta.url)),
      ],
      environment: { ...MALLOC, ...process.env },
      caBundlePath: settings.SSL_CERT_FILE,
      tokenProxy: settings.TALLYGATE_TOKEN_PROXY,
      log,
      onReady: (ready) => {
        flushCompileCache();
        if (example || process.stderr.isTTY) {
          process.stderr.write(welcome(ready, example, settings.TALLYGATE_CONSOLE === 'on'));
        }
      },
    },
    signal,
  ).finally(() => log.flush());
  process.exit(clean ? 0 : 1);
};

const PARENT_POLL_MS = 250;

/**
 * Ends this process with npm. npm and npx run a command in a shell and send SIGTERM only to that
 * shell, so Envoy and extproc would keep running. Elsewhere (nohup, systemd), the process may
 * outlive its parent.
 */
function endWithNpm(abort: (reason: string) => void): void {
  const parent = process.ppid;
  if (process.env['npm_command'] === undefined || parent === 1) {
    return;
  }
  const poll = setInterval(() => {
    if (process.ppid === parent) {
      return;
    }
    clearInterval(poll);
    abort('npm has ended');
  }, PARENT_POLL_MS);
  poll.unref();
}

/** Returns undefined if the text is not a whole number in the range. */
function whole(text: string | undefined, fallback: number, least: number, most: number): number | undefined {
  if (text === undefined) {
    return fallback;
  }
  const number = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  return number >= least && number <= most ? number : undefined;
}

function welcome({ addresses, metricsPort }: Ready, example: Quickstart | undefined, hasConsole: boolean): string {
  const lines = [`Tallygate is ready on ${addresses.map((address) => `http://${address}`).join(', ')}`];
  if (example) {
    lines.push('', ...example.lines(`http://${addresses[0]}`));
  }
  if (metricsPort > 0) {
    const url = `http://127.0.0.1:${metricsPort}`;
    lines.push('', ...(hasConsole ? [`Console: ${url}/console/`] : []), `Metrics: ${url}/metrics`);
  }
  return `\n${lines.join('\n')}\n\n`;
}
