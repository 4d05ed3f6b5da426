/**
 * Runs the OpenTelemetry Collector (`e2e/collector/build.sh`) in front of a receiver that keeps
 * what it exports.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { freePorts } from '../../../fixtures/free-ports.ts';
import { type Collector, startCollector } from '../../data-plane/support/collector.ts';
import { waitFor } from '../../data-plane/support/wait.ts';

const folder = path.resolve(import.meta.dirname, '../../../.tools/otel');
const program = path.join(folder, 'collector');

/** The conventions that `e2e/collector/build.sh` read. */
export const CONVENTIONS_FILE: string = path.join(folder, 'conventions.json');

/** What the Collector refuses, although it is well. */
export type Refusal =
  | 'nothing'
  /** Its receivers, with 429 or RESOURCE_EXHAUSTED. */
  | 'in receivers'
  /** Its pipelines, with 503 or UNAVAILABLE. */
  | 'in pipelines';

export interface OtelCollector {
  readonly httpUrl: string;
  readonly grpcUrl: string;
  /** What the Collector has exported. */
  readonly exported: Collector;
  /** Starts the program again with the same ports. */
  start(refusal?: Refusal): Promise<void>;
  /** Stops it from running, with all connections open, until `resume`. */
  pause(): void;
  resume(): void;
  /** Ends the program. */
  end(): Promise<void>;
  stop(): Promise<void>;
}

export interface OtelCollectorOptions {
  readonly refusal?: Refusal;
  /** The requests that wait for export, for each signal. */
  readonly queueSize?: number;
  /** A content policy sends content to this Collector. */
  readonly receivesContent?: boolean;
}

export async function startOtelCollector(options: OtelCollectorOptions = {}): Promise<OtelCollector> {
  if (!existsSync(program)) {
    throw new Error(`${program} does not exist; run e2e/collector/build.sh`);
  }
  const { receivesContent = false } = options;
  const [[grpcPort = 0, httpPort = 0], exported] = await Promise.all([
    freePorts(2),
    startCollector({ receivesContent }),
  ]);
  const state = mkdtempSync(path.join(tmpdir(), 'tallygate-otel-'));
  const config = path.join(state, 'config.yaml');
  const log = openSync(path.join(state, 'log'), 'a');
  let child: ChildProcess | undefined;
  const end = async () => {
    if (child?.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    }
  };
  const start = async (refusal: Refusal = 'nothing') => {
    await end();
    const ports = { grpcPort, httpPort };
    writeFileSync(config, JSON.stringify(configOf(ports, exported.url, refusal, options.queueSize ?? 1000)));
    child = spawn(program, ['--config', config], { stdio: ['ignore', 'ignore', log] });
    await Promise.all([grpcPort, httpPort].map((port) => untilListens(port, child!, path.join(state, 'log'))));
  };
  await start(options.refusal);
  return {
    httpUrl: `http://127.0.0.1:${httpPort}`,
    grpcUrl: `http://127.0.0.1:${grpcPort}`,
    exported,
    start,
    pause: () => child?.kill('SIGSTOP'),
    resume: () => child?.kill('SIGCONT'),
    end,
    async stop() {
      await end();
      exported.stop();
      closeSync(log);
      rmSync(state, { recursive: true, force: true });
    },
  };
}

function configOf(
  { grpcPort, httpPort }: { readonly grpcPort: number; readonly httpPort: number },
  exportUrl: string,
  refusal: Refusal,
  queueSize: number,
): object {
  // A megabyte is less than the program needs, so the limiter refuses everything.
  const limiter = { check_interval: '50ms', limit_mib: 1 };
  const middlewares = refusal === 'in receivers' ? { middlewares: [{ id: 'memory_limiter' }] } : {};
  const pipeline = {
    receivers: ['otlp'],
    processors: refusal === 'in pipelines' ? ['memory_limiter'] : [],
    exporters: ['otlp_http'],
  };
  return {
    extensions: { memory_limiter: limiter },
    receivers: {
      otlp: {
        protocols: {
          grpc: { endpoint: `127.0.0.1:${grpcPort}`, ...middlewares },
          http: { endpoint: `127.0.0.1:${httpPort}`, ...middlewares },
        },
      },
    },
    processors: { memory_limiter: limiter },
    exporters: {
      otlp_http: {
        endpoint: exportUrl,
        encoding: 'json',
        sending_queue: { queue_size: queueSize, num_consumers: 1 },
        retry_on_failure: { initial_interval: '100ms', max_interval: '500ms', max_elapsed_time: '0s' },
      },
    },
    service: {
      extensions: refusal === 'in receivers' ? ['memory_limiter'] : [],
      telemetry: { metrics: { level: 'none' }, logs: { level: 'error' } },
      pipelines: { traces: pipeline, metrics: pipeline, logs: pipeline },
    },
  };
}

function untilListens(port: number, child: ChildProcess, logFile: string): Promise<boolean> {
  return waitFor(
    'the Collector',
    () => {
      if (child.exitCode !== null) {
        throw new Error(`the Collector ended with ${child.exitCode}:\n${readFileSync(logFile, 'utf8')}`);
      }
      return new Promise<boolean>((resolve) => {
        const socket = createConnection(port, '127.0.0.1');
        const done = (connected: boolean) => {
          socket.destroy();
          resolve(connected);
        };
        socket.once('connect', () => done(true)).once('error', () => done(false));
      });
    },
    20_000,
  );
}
