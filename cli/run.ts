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
import { readOptions, type Verb, wrongUse } from './verb.ts';

const usage = `Usage: tallygate run [FILE|FOLDER]… [OPTION]…

Runs the gateway on this machine: Envoy and the ext_proc service, as the resources in the
files say. Edits of the files come into force at once; a wrong one leaves the last good
state. Without a file it runs an example: a simulated model, and OpenAI and Anthropic where
OPENAI_API_KEY and ANTHROPIC_API_KEY are set. Access lines go to stdout, all else to stderr.

  --name NAME          an instance of its own, with state of its own (default)
  --address ADDRESS    where listeners bind; 0.0.0.0 opens them to the network
                       (127.0.0.1, TALLYGATE_ADDRESS)
  --metrics HOST:PORT  /metrics, /healthz and /readyz
                       (127.0.0.1:9464, TALLYGATE_METRICS_ADDRESS)
  --envoy PATH         the Envoy to run; else the project's own tools, else the PATH
                       (TALLYGATE_ENVOY)
  --concurrency N      worker threads of Envoy (one a core, TALLYGATE_CONCURRENCY)
  --drain-timeout N    seconds that open streams have after SIGTERM or Ctrl-C; a second
                       signal ends at once (30, TALLYGATE_DRAIN_TIMEOUT)
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
 * Requests die young, and V8 lets the space for the young grow to many times what they need: with
 * the default of 16 MB, resident memory under full load was 28 MB more for a tenth of the processor
 * time.
 */
const YOUNG_GENERATION = '--max-semi-space-size=8';

/**
 * On a machine with much memory V8 lets garbage lie until hundreds of megabytes have come together.
 * This bound (megabytes) is ten times what 5,000 open streams need, and makes it tidy up sooner:
 * 141 MB resident after 24,000 requests in place of 195.
 */
const OLD_GENERATION = '--max-old-space-size=1024';

export const run: Verb = async ({ args, settings }) => {
  const parsed = readOptions('run', args, options, usage);
  if (typeof parsed === 'number') {
    return parsed;
  }
  const { values, positionals } = parsed;
  if (!/^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/.test(values.name)) {
    return wrongUse('run', '--name must be lower-case letters, digits and hyphens, at most 32', usage);
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

  const log = createLog({ level: settings.TALLYGATE_LOG_LEVEL, keys: { process: 'tallygate' } });
  const { signal, abort } = abortOnSignals(() => process.exit(1));
  // Started by the launcher or by npm, we end when it does.
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
      drainTimeoutMs: drainSeconds * 1000,
      tallygate: [
        process.execPath,
        ...process.execArgv,
        YOUNG_GENERATION,
        OLD_GENERATION,
        fileURLToPath(new URL('main.ts', import.meta.url)),
      ],
      environment: process.env,
      caBundlePath: settings.SSL_CERT_FILE,
      log,
      onReady: (ready) => {
        flushCompileCache();
        if (example || process.stderr.isTTY) {
          process.stderr.write(welcome(ready, example));
        }
      },
    },
    signal,
  ).finally(() => log.flush());
  process.exit(clean ? 0 : 1);
};

const PARENT_POLL_MS = 250;

/**
 * npm and npx run a command by a shell, and pass SIGTERM to that shell alone: without this, Envoy
 * and extproc would serve on. Elsewhere (nohup, systemd) we outlive our parent.
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

/** `undefined`: not a whole number in the range. */
function whole(text: string | undefined, fallback: number, least: number, most: number): number | undefined {
  if (text === undefined) {
    return fallback;
  }
  const number = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  return number >= least && number <= most ? number : undefined;
}

function welcome({ addresses, metricsPort }: Ready, example: Quickstart | undefined): string {
  const lines = [`Tallygate is ready on ${addresses.map((address) => `http://${address}`).join(', ')}`];
  if (example) {
    lines.push('', ...example.lines(`http://${addresses[0]}`));
  }
  if (metricsPort > 0) {
    lines.push('', `Metrics: http://127.0.0.1:${metricsPort}/metrics`);
  }
  return `\n${lines.join('\n')}\n\n`;
}
