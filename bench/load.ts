/** Builds and runs the two load programs (Go, standard library only), and types their reports. */
import { execFile, execFileSync } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { answers, type Running, start, until } from './processes.ts';

const source = path.join(import.meta.dirname, 'load');
const binaries = path.join(import.meta.dirname, 'bin');
/** Extra time after the end of a run, in which open streams complete. */
const GRACE_MS = 60_000;

export function buildLoad(): void {
  try {
    execFileSync('go', ['build', '-o', `${binaries}/`, './...'], {
      cwd: source,
      env: { ...process.env, CGO_ENABLED: '0' },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  } catch (error) {
    throw new Error('the load programs need Go 1.24 or newer on the PATH; see https://go.dev/dl', { cause: error });
  }
}

export interface Percentiles {
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

export interface LoadReport {
  readonly seconds: number;
  /** Requests that received a complete 200 response. */
  readonly requests: number;
  readonly requestsPerSecond: number;
  readonly latencyMs: Percentiles;
  readonly firstByteMs: Percentiles;
  readonly chunkDelayMs: Percentiles;
  /** Number of requests per outcome: a status, `STATUS-broken`, `aborted` or `error`. */
  readonly outcomes: Readonly<Record<string, number>>;
  readonly details?: readonly RequestDetail[];
}

export interface RequestDetail {
  readonly id: string;
  readonly outcome: string;
  /** Chunks with content, as received by the client. */
  readonly chunks: number;
  readonly firstByteNs: number;
  readonly lastStampNs: number;
  readonly begunNs: number;
  readonly endedNs: number;
  readonly finish?: string;
}

export interface LoadOptions {
  readonly port: number;
  readonly connections: number;
  readonly seconds: number;
  readonly model?: string;
  readonly team?: string;
  /** Names this many teams in turn instead. */
  readonly keys?: number;
  /** An API key or a token. */
  readonly credential?: string;
  readonly count?: number;
  readonly rampSeconds?: number;
  readonly promptBytes?: number;
  readonly stream?: boolean;
  /** The bound of the output that each request names. */
  readonly maxTokens?: number;
  /** The wait of a connection after a refusal. */
  readonly refusalPauseMs?: number;
  readonly askUsage?: boolean;
  readonly stamp?: boolean;
  readonly abort?: boolean;
  /** Names the requests with this prefix and reports on each. */
  readonly detail?: string;
  /** Chunks of each response, and the time between them. */
  readonly chunks?: number;
  /** The tokens of the prompt that the provider reports. */
  readonly promptTokens?: number;
  readonly paceMs?: number;
}

export async function runLoad(options: LoadOptions): Promise<LoadReport> {
  const { stdout } = await promisify(execFile)(path.join(binaries, 'client'), argumentsOf(options), {
    timeout: options.seconds * 1000 + GRACE_MS,
    maxBuffer: 64 * 1024 * 1024,
  });
  return JSON.parse(stdout) as LoadReport;
}

function argumentsOf(options: LoadOptions): readonly string[] {
  const header = (name: string, value: string | number | undefined) =>
    value === undefined ? [] : ['-header', `${name}: ${value}`];
  const { stamp, stream, abort, detail, model, maxTokens, refusalPauseMs } = options;
  return [
    '-url',
    `http://127.0.0.1:${options.port}/v1/chat/completions`,
    '-connections',
    String(options.connections),
    '-duration',
    `${options.seconds}s`,
    '-count',
    String(options.count ?? 0),
    '-ramp',
    `${options.rampSeconds ?? 0}s`,
    '-prompt-bytes',
    String(options.promptBytes ?? 200),
    ...(model === undefined ? [] : ['-model', model]),
    ...(maxTokens === undefined ? [] : ['-max-tokens', String(maxTokens)]),
    ...(refusalPauseMs === undefined ? [] : ['-refusal-pause', `${refusalPauseMs}ms`]),
    ...(stream ? ['-stream', `-usage=${options.askUsage ?? true}`] : []),
    ...(stamp ? ['-stamp'] : []),
    ...(abort ? ['-abort'] : []),
    ...(detail === undefined ? [] : ['-detail', detail]),
    ...(options.keys === undefined ? header('x-team', options.team ?? 'bench') : ['-keys', String(options.keys)]),
    ...header('authorization', options.credential === undefined ? undefined : `Bearer ${options.credential}`),
    ...header('x-bench-chunks', options.chunks),
    ...header('x-bench-prompt-tokens', options.promptTokens),
    ...header('x-bench-pace', options.paceMs === undefined ? undefined : `${options.paceMs}ms`),
    ...header('x-bench-stamp', stamp || detail !== undefined ? 1 : undefined),
  ];
}

export interface ProviderRequest {
  readonly id: string;
  readonly chunks: number;
  readonly finished: boolean;
  readonly endedNs: number;
}

export interface LoadProvider {
  readonly port: number;
  readonly pid: number;
  /** Returns and forgets the ended requests whose names have this prefix. */
  requests(prefix: string): Promise<readonly ProviderRequest[]>;
  stop(): Promise<void>;
}

export async function startProvider(port: number): Promise<LoadProvider> {
  const running: Running = start(path.join(binaries, 'provider'), ['-listen', `127.0.0.1:${port}`], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const url = `http://127.0.0.1:${port}/requests`;
  await until('start of the provider', 10_000, () => answers(url));
  return {
    port,
    pid: running.pid,
    requests: async (prefix) =>
      (await (await fetch(`${url}?prefix=${encodeURIComponent(prefix)}`)).json()) as ProviderRequest[],
    stop: () => running.stop(),
  };
}
