/**
 * Runs the load programs that the project's goals and the published figures of other gateways were
 * measured with: Go programs `mock` and `gen` outside this repository. Their client and provider do
 * more work per request, so ratios to Envoy alone are higher. Compare only figures of the same
 * programs.
 */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import type { LoadOptions, LoadProvider, LoadReport, Percentiles } from './load.ts';
import { answers, start, until } from './processes.ts';

const source = process.env['REFERENCE_LOAD'] ?? path.resolve(import.meta.dirname, '../../shared/load');
const binaries = path.join(import.meta.dirname, 'bin/reference');

/** Builds the programs; returns false if they are missing. */
export function buildReference(): boolean {
  if (!existsSync(path.join(source, 'gen'))) {
    return false;
  }
  execFileSync('go', ['build', '-o', `${binaries}/`, './...'], {
    cwd: source,
    env: { ...process.env, CGO_ENABLED: '0' },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return true;
}

/**
 * Starts the provider. With a pace, its chunks are spaced by it and carry the time at which they
 * were sent.
 */
export async function startReferenceProvider(port: number, paceMs?: number): Promise<LoadProvider> {
  const pace = paceMs === undefined ? [] : ['-stamp', '-delay', `${paceMs}ms`];
  const args = ['-addr', `127.0.0.1:${port}`, '-chunks', '100', ...pace];
  const running = start(path.join(binaries, 'mock'), args, { stdio: ['ignore', 'ignore', 'inherit'] });
  await until('start of the provider', 10_000, () => answers(`http://127.0.0.1:${port}/stats`));
  return { port, pid: running.pid, requests: async () => [], stop: () => running.stop() };
}

export async function runReference(options: LoadOptions): Promise<LoadReport> {
  const args = [
    '-url',
    `http://127.0.0.1:${options.port}/v1/chat/completions`,
    '-H',
    `x-team:${options.team ?? 'bench'}`,
    '-c',
    String(options.connections),
    '-d',
    `${options.seconds}s`,
    ...(options.promptBytes === undefined ? [] : ['-size', String(options.promptBytes)]),
    ...(options.stream ? ['-stream'] : []),
    ...(options.stamp ? ['-stamp'] : []),
  ];
  const { stdout } = await promisify(execFile)(path.join(binaries, 'gen'), args);
  return referenceReport(stdout, options.seconds);
}

const NONE: Percentiles = { count: 0, p50: Number.NaN, p90: Number.NaN, p99: Number.NaN, max: Number.NaN };

/** Parses the output of `gen`. */
export function referenceReport(text: string, seconds: number): LoadReport {
  const line =
    /^rps (\d+) +lat p50 ([\d.]+) p90 ([\d.]+) p99 ([\d.]+) ms +ttfb p50 ([\d.]+) p99 ([\d.]+) ms .*codes map\[(.*)\]/;
  const found = line.exec(text)?.slice(1);
  if (found === undefined) {
    throw new Error(`the load program printed ${JSON.stringify(text)}`);
  }
  const [requestsPerSecond = 0, p50 = 0, p90 = 0, p99 = 0, firstP50 = 0, firstP99 = 0] = found.slice(0, 6).map(Number);
  const outcomes = Object.fromEntries(
    found[6]!.split(' ').map((pair): [string, number] => {
      const [outcome = '', count] = pair.split(':');
      return [outcome, Number(count)];
    }),
  );
  const requests = outcomes['200'] ?? 0;
  const chunks = /^chunks (\d+) +delay p50 ([\d.]+) p90 ([\d.]+) p99 ([\d.]+) ms$/m.exec(text)?.slice(1).map(Number);
  return {
    seconds,
    requests,
    requestsPerSecond,
    latencyMs: { ...NONE, count: requests, p50, p90, p99 },
    firstByteMs: { ...NONE, count: requests, p50: firstP50, p99: firstP99 },
    chunkDelayMs:
      chunks === undefined ? NONE : { ...NONE, count: chunks[0]!, p50: chunks[1]!, p90: chunks[2]!, p99: chunks[3]! },
    outcomes,
  };
}
