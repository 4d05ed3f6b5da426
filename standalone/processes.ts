/** The two child processes, Envoy and extproc. Neither ends when the other does. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Environment } from '../runtime/environment.ts';
import type { Log } from '../runtime/log.ts';
import { extprocStatus } from './apply.ts';
import { type EnvoyAdmin, envoyAdmin } from './envoy-admin.ts';
import { envoyArguments, envoyLog } from './envoy-process.ts';
import { OperatorError } from './operator-error.ts';
import { endStaleProcess } from './stale-process.ts';
import type { State } from './state.ts';
import { type Child, supervise } from './supervisor.ts';

const START_DEADLINE_MS = 30_000;
const POLL_MS = 20;

export interface Processes {
  readonly envoy: Child;
  readonly extproc: Child;
  readonly admin: EnvoyAdmin;
}

export interface ProcessOptions {
  readonly state: State;
  readonly envoyPath: string;
  readonly bootstrapPath: string;
  readonly concurrency: number;
  /** The command line that starts `tallygate`, for `tallygate extproc`. */
  readonly tallygate: readonly [command: string, ...args: string[]];
  readonly environment: Environment;
  readonly log: Log;
  readonly onEnvoyLine: (line: string) => void;
  readonly onExtprocMessage: (message: unknown) => void;
}

export function newProcesses(options: ProcessOptions): Processes {
  const { state, log, tallygate } = options;
  const [command, ...args] = tallygate;
  const logLine = envoyLog(log, Date.now);
  return {
    admin: envoyAdmin(state.envoyAdminSocket),
    envoy: supervise({
      name: 'envoy',
      command: options.envoyPath,
      args: envoyArguments(options.bootstrapPath, options.concurrency),
      environment: chosen(options.environment, ENVOY_VARIABLES),
      pidPath: state.pidPath('envoy'),
      log,
      onLine: (line) => {
        options.onEnvoyLine(line);
        logLine(line);
      },
    }),
    extproc: supervise({
      name: 'extproc',
      command,
      args: [
        ...args,
        'extproc',
        ...['--socket', state.extprocSocket],
        ...['--policy', state.policyPath],
        ...['--detector-secrets', state.detectorSecretsPath],
        ...['--journal', state.journalPath],
        ...['--quota-socket', state.quotaSocket],
        ...['--metrics', `unix:${state.extprocAdminSocket}`],
      ],
      environment: chosen(options.environment, EXTPROC_VARIABLES),
      pidPath: state.pidPath('extproc'),
      onMessage: options.onExtprocMessage,
      spare: { args: ['--spare'], pidPath: state.pidPath('extproc-spare') },
      log,
    }),
  };
}

/** Ends processes of an earlier run that was killed. */
export async function endLeftovers(state: State, log: Log): Promise<void> {
  for (const name of ['envoy', 'extproc', 'extproc-spare']) {
    if (await endStaleProcess(state.pidPath(name), state.folder)) {
      log.warn({ child: name }, 'ended process of an earlier run');
    }
  }
}

/** Starts extproc first: Envoy must never serve without it. */
export async function startProcesses(
  { envoy, extproc, admin }: Processes,
  state: State,
  signal: AbortSignal,
): Promise<void> {
  extproc.start();
  const isReady = async () => (await extprocStatus(state.extprocAdminSocket))?.ready === true;
  await waitUntilUp('extproc', extproc, isReady, signal);
  envoy.start();
  await waitUntilUp('Envoy', envoy, admin.isLive, signal);
}

async function waitUntilUp(
  name: string,
  child: Child,
  isUp: () => Promise<boolean>,
  signal: AbortSignal,
): Promise<void> {
  const until = performance.now() + START_DEADLINE_MS;
  while (!(await isUp())) {
    signal.throwIfAborted();
    if (child.restarts >= 3) {
      throw new OperatorError(`${name} keeps exiting at start; see its last log lines`);
    }
    if (performance.now() > until) {
      throw new OperatorError(`${name} is not ready after ${START_DEADLINE_MS / 1000} s; see its log lines`);
    }
    await sleep(POLL_MS, undefined, { signal });
  }
}

/** The environment may contain provider keys, which no child needs. */
const ENVOY_VARIABLES = /^(PATH|HOME|TMPDIR|LANG|LC_.*|TZ|GODEBUG|ENVOY_.*)$/;
const EXTPROC_VARIABLES = /^(PATH|HOME|TMPDIR|LANG|LC_.*|TZ|MALLOC_.*|NODE_.*|OTEL_.*|TALLYGATE_.*|XDG_CACHE_HOME)$/;

function chosen(environment: Environment, names: RegExp): Record<string, string> {
  const entries = Object.entries(environment).filter(([name, value]) => value !== undefined && names.test(name));
  return Object.fromEntries(entries) as Record<string, string>;
}
