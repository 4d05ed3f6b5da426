/**
 * Runs `tallygate run` as a user does, and observes its port, processes, metrics and access lines
 * from outside.
 */
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { freePorts } from '../fixtures/free-ports.ts';
import { answers, commandLine, descendants, type Running, start, until } from './processes.ts';

const repository = path.resolve(import.meta.dirname, '..');

export interface MeasuredGateway {
  readonly port: number;
  readonly envoyPid: number;
  readonly extprocPid: number;
  metrics(): Promise<string>;
  /** Returns the lines since the last call. */
  accessLines(): readonly AccessLine[];
  /** Returns the end of the log, for error messages. */
  trouble(): string;
  stop(): Promise<void>;
}

/** The fields of an access line that the benchmark reads. */
export interface AccessLine {
  readonly [member: string]: unknown;
}

export interface MeasuredGatewayOptions {
  readonly folder: string;
  readonly yaml: (port: number) => string;
  /** Memory of all Node processes of the gateway. */
  readonly nodeOptions: readonly string[];
  /** Additional variables. */
  readonly environment?: NodeJS.ProcessEnv;
}

export async function startGateway(options: MeasuredGatewayOptions): Promise<MeasuredGateway> {
  const { folder, yaml, nodeOptions, environment } = options;
  const [port = 0, metricsPort = 0] = await freePorts(2);
  mkdirSync(folder, { recursive: true });
  const file = path.join(folder, 'resources.yaml');
  const output = path.join(folder, 'output.log');
  writeFileSync(file, yaml(port));
  // Writes to a file, so that reading the lines takes no part in the measurement.
  const descriptor = openSync(output, 'a');
  const running = start(
    process.execPath,
    [process.env['TALLYGATE_MAIN'] ?? path.join(repository, 'cli/main.ts'), 'run', file],
    {
      cwd: repository,
      env: {
        ...process.env,
        ...environment,
        XDG_STATE_HOME: path.join(folder, 'state'),
        TALLYGATE_METRICS_ADDRESS: `127.0.0.1:${metricsPort}`,
        ...(nodeOptions.length > 0 && { NODE_OPTIONS: nodeOptions.join(' ') }),
      },
      stdio: ['ignore', descriptor, descriptor],
    },
  );
  closeSync(descriptor);
  const metricsUrl = `http://127.0.0.1:${metricsPort}`;
  try {
    await until('ready gateway', 30_000, () => {
      if (running.child.exitCode !== null) {
        throw new Error('the gateway ended');
      }
      return answers(`${metricsUrl}/readyz`);
    });
    return opened(running, port, metricsUrl, output);
  } catch (error) {
    await running.stop();
    throw new Error(`${error instanceof Error ? error.message : error}\n${tail(output)}`, { cause: error });
  }
}

function opened(running: Running, port: number, metricsUrl: string, output: string): MeasuredGateway {
  return {
    port,
    envoyPid: member(running, 'Envoy', (command) => /(^|\/)envoy\s/.test(command)),
    // Ignores the process in reserve.
    extprocPid: member(running, 'extproc', (command) => /\sextproc\s/.test(command) && !/\s--spare/.test(command)),
    metrics: async () => (await fetch(`${metricsUrl}/metrics`, { signal: AbortSignal.timeout(5000) })).text(),
    accessLines() {
      const lines = readFileSync(output, 'utf8').split('\n');
      truncateSync(output);
      return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as AccessLine);
    },
    trouble: () => tail(output),
    stop: () => running.stop(),
  };
}

function tail(file: string): string {
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
  return lines
    .filter((line) => !line.includes('"requestId"'))
    .slice(-20)
    .join('\n');
}

function member(running: Running, what: string, matches: (command: string) => boolean): number {
  const found = descendants(running.pid).find((pid) => pid !== running.pid && matches(commandLine(pid)));
  if (found === undefined) {
    const tree = descendants(running.pid).map((pid) => `${pid} ${commandLine(pid)}`);
    throw new Error(`no ${what} process among\n${tree.join('\n')}`);
  }
  return found;
}
