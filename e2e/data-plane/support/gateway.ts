/**
 * Runs `tallygate run` on YAML text as a user would, with a separate state folder and ports, and
 * observes it from outside: HTTP, access records on stdout, metrics and processes. Every wait has a
 * deadline, and a failure shows the end of the log.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from '../../../fixtures/free-ports.ts';
import { GatewayOutputs } from './leaks/gateway-outputs.ts';
import { noteRequests } from './leaks/requests.ts';
import { Metrics } from './metrics.ts';
import { isAlive, type ProcessInfo, processTree } from './processes.ts';
import { type AccessRecord, accessRecord } from './records.ts';
import { type Document, gateway as gatewayDocuments, yamlOf } from './resources.ts';
import { waitFor, within } from './wait.ts';

noteRequests();

const repository = path.resolve(import.meta.dirname, '../../..');
/** The program under test; another installation can replace the checkout's. */
const program = process.env['TALLYGATE_E2E_MAIN'] ?? path.join(repository, 'cli/main.ts');
const READY_MS = 20_000;
const STOP_MS = 15_000;
const KEPT_LOG_LINES = 400;
/** Records arrive in batches, about 20 ms after the end of a request. */
const QUIET_MS = 60;
/** The tolerance between this process's clock and extproc's, which runs on from its start. */
const CLOCK_DIFFERENCE_MS = 10;

export interface Gateway {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string;
  readonly port: number;
  /** `http://127.0.0.1:PORT` of health and metrics. */
  readonly metricsUrl: string;
  readonly folder: string;
  readonly pid: number;
  /** Records in the order in which requests ended. */
  readonly records: readonly AccessRecord[];
  /**
   * Returns the record of the request that `work` sends, which must be the only one at that time.
   */
  recordOf<T>(work: () => Promise<T>): Promise<{ readonly result: T; readonly record: AccessRecord }>;
  /** Waits until `count` records match. */
  recordsWhere(
    what: string,
    count: number,
    matches: (record: AccessRecord) => boolean,
    timeoutMs?: number,
  ): Promise<readonly AccessRecord[]>;
  metrics(): Promise<Metrics>;
  isReady(): Promise<boolean>;
  processes(): readonly ProcessInfo[];
  /** The process that serves; another one may wait in reserve. */
  extprocPid(): number;
  envoyPid(): number;
  /** Replaces the YAML. */
  edit(documents: readonly Document[]): void;
  log(): string;
  /** Sends SIGTERM and asserts that no process is left. */
  stop(): Promise<void>;
}

export interface GatewayOptions {
  /** YAML text that is used unchanged instead of documents. */
  readonly yaml?: string;
  /** Files that are used unchanged instead of documents, in the order of the arguments. */
  readonly files?: readonly string[];
  readonly port?: number;
  /** Keeps the state of an earlier gateway. */
  readonly folder?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Starts the gateway by `make run`. */
  readonly isByMake?: boolean;
}

export async function startGateway(documents: readonly Document[], options: GatewayOptions = {}): Promise<Gateway> {
  const [freePort = 0, metricsPort = 0] = await freePorts(2);
  const port = options.port ?? freePort;
  const folder = options.folder ?? mkdtempSync(path.join(os.tmpdir(), 'tallygate-e2e-'));
  const file = path.join(folder, 'resources.yaml');
  const write = (list: readonly Document[]) => writeFileSync(file, yamlOf([...gatewayDocuments(port), ...list]));
  if (options.yaml !== undefined) {
    writeFileSync(file, options.yaml);
  } else {
    write(documents);
  }
  const stateHome = path.join(folder, 'state');
  mkdirSync(stateHome, { recursive: true });
  const files = options.files ?? [file];
  const environment = environmentOf(stateHome, metricsPort, options.environment);
  const child = spawnGateway(files, environment, options.isByMake);
  const metricsUrl = `http://127.0.0.1:${metricsPort}`;
  const outputs = new GatewayOutputs(child, { metricsUrl, stateHome, files, environment });
  const log: string[] = [];
  const records: AccessRecord[] = [];
  readLines(child.stdout, (line) => {
    const record = accessRecord(line);
    if (record === undefined) {
      keep(log, line);
    } else {
      records.push(record);
    }
  });
  readLines(child.stderr, (line) => keep(log, line));
  const tail = () => `\n--- end of the gateway's log ---\n${log.slice(-40).join('\n')}`;
  const isReady = () => answersReady(metricsUrl);
  await untilReady(child, isReady, tail);
  const pid = child.pid ?? 0;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    metricsUrl,
    folder,
    pid,
    records,
    ...recordQueries(records, tail),
    metrics: async () => {
      const response = await fetch(`${metricsUrl}/metrics`, { signal: AbortSignal.timeout(5_000) });
      return new Metrics(await response.text());
    },
    isReady,
    processes: () => processTree(pid),
    extprocPid: () => Number(readFileSync(path.join(stateHome, 'tallygate/default/extproc.pid'), 'utf8')),
    envoyPid: () => findProcess(pid, 'Envoy', (command) => /(^|\/)envoy\s/.test(command)),
    edit: (list) => {
      write(list);
      outputs.protectConfiguration();
    },
    log: () => log.join('\n'),
    stop: async () => {
      await outputs.readLive();
      try {
        await stopGateway(child, tail);
      } finally {
        outputs.readLeftFiles();
        if (options.folder === undefined) {
          rmSync(folder, { recursive: true, force: true });
        }
      }
    },
  };
}

function spawnGateway(files: readonly string[], env: NodeJS.ProcessEnv, isByMake = false) {
  const [command, args] = isByMake
    ? ['make', ['--silent', 'run', `FILES=${files.join(' ')}`]]
    : [process.execPath, [program, 'run', ...files]];
  return spawn(command, args, {
    cwd: repository,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

function environmentOf(
  stateHome: string,
  metricsPort: number,
  environment: GatewayOptions['environment'],
): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'],
    HOME: process.env['HOME'],
    XDG_STATE_HOME: stateHome,
    // A failed test leaves streams open.
    TALLYGATE_DRAIN_TIMEOUT: '3',
    TALLYGATE_METRICS_ADDRESS: `127.0.0.1:${metricsPort}`,
    ...environment,
  };
}

/** Ends a gateway that does not become ready. */
async function untilReady(child: ChildProcess, isReady: () => Promise<boolean>, tail: () => string): Promise<void> {
  try {
    await waitFor(
      'ready gateway',
      async () => {
        if (child.exitCode !== null) {
          throw new Error(`the gateway exited with ${child.exitCode}${tail()}`);
        }
        return isReady();
      },
      READY_MS,
      tail,
    );
  } catch (error) {
    child.kill('SIGTERM');
    await killAll(child);
    throw error;
  }
}

async function answersReady(metricsUrl: string): Promise<boolean> {
  try {
    const response = await fetch(`${metricsUrl}/readyz`, { signal: AbortSignal.timeout(2_000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}

function findProcess(pid: number, what: string, matches: (command: string) => boolean): number {
  const found = processTree(pid).find((one) => one.pid !== pid && matches(one.command));
  if (found === undefined) {
    throw new Error(`no ${what} among ${JSON.stringify(processTree(pid))}`);
  }
  return found.pid;
}

function recordQueries(
  records: readonly AccessRecord[],
  tail: () => string,
): Pick<Gateway, 'recordOf' | 'recordsWhere'> {
  return {
    recordOf: async (work) => {
      await quiet(records);
      const startedAtMs = Date.now() - CLOCK_DIFFERENCE_MS;
      const result = await work();
      const record = await waitFor(
        'access record',
        () => records.find((one) => one.startedAtMs >= startedAtMs),
        5_000,
        tail,
      );
      return { result, record };
    },
    recordsWhere: (what, count, matches, timeoutMs = 5_000) =>
      waitFor(
        `${count} access records of ${what}`,
        () => {
          const found = records.filter(matches);
          return found.length >= count && found;
        },
        timeoutMs,
        () => `(there are ${records.filter(matches).length})${tail()}`,
      ),
  };
}

/** Sends SIGTERM and waits for the end of all processes. Kills those that remain. */
async function stopGateway(child: ChildProcess, tail: () => string): Promise<void> {
  const before = processTree(child.pid ?? 0);
  if (child.exitCode === null) {
    child.kill('SIGTERM');
  }
  try {
    await within(STOP_MS, 'stopping the gateway', exited(child));
    await waitFor(
      'end of all processes of the gateway',
      () => before.every((one) => !isAlive(one.pid)),
      // The watcher of the child processes sleeps 3 s before its last check.
      6_000,
      () => JSON.stringify(before.filter((one) => isAlive(one.pid))) + tail(),
    );
  } finally {
    killRemaining(before);
  }
  // make ends by the signal, after the gateway.
  if (child.exitCode !== 0 && !(child.spawnfile === 'make' && child.signalCode === 'SIGTERM')) {
    throw new Error(`the gateway exited with ${child.exitCode ?? child.signalCode}${tail()}`);
  }
}

/** Waits until the records of earlier requests have arrived. */
async function quiet(records: readonly AccessRecord[]): Promise<void> {
  for (let before = -1; before !== records.length; ) {
    before = records.length;
    await sleep(QUIET_MS);
  }
}

async function killAll(child: ChildProcess): Promise<void> {
  const tree = processTree(child.pid ?? 0);
  await within(STOP_MS, 'stopping the gateway', exited(child)).catch(() => {});
  killRemaining(tree);
}

function killRemaining(processes: readonly ProcessInfo[]): void {
  for (const one of processes) {
    if (isAlive(one.pid)) {
      process.kill(one.pid, 'SIGKILL');
    }
  }
}

function exited(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) {
      resolve();
    } else {
      child.once('exit', () => resolve());
    }
  });
}

function keep(log: string[], line: string): void {
  log.push(line);
  if (log.length > KEPT_LOG_LINES) {
    log.shift();
  }
}

function readLines(stream: NodeJS.ReadableStream, onLine: (line: string) => void): void {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  stream.on('data', (piece: Buffer) => {
    const lines = (rest + decoder.write(piece)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line !== '') {
        onLine(line);
      }
    }
  });
}
