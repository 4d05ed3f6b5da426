/** A long run: whether memory stays where it is. */
import type { Stand } from '../bench.ts';
import { runLoad } from '../load.ts';
import { readLoop } from '../measure.ts';
import { residentBytes } from '../processes.ts';
import type { Figure } from '../results.ts';

const STEPS = 10;
const LONGEST_SECONDS = 3600;
const RESIDENT_MB = 180;
/** What is used after a few hundred thousand requests is all that is used: beyond it only what a collection happens to have left. */
const GROWTH_MB = 10;

export async function soak(stand: Stand, requests: number): Promise<readonly Figure[]> {
  const { gateway } = stand;
  const figure = (name: string, value: number, unit: string, atMost?: number): Figure => {
    return { part: 'soak', name, value, unit, ...(atMost !== undefined && { goal: { atMost } }) };
  };
  const residentMb = [megabytes(gateway.extprocPid)];
  const envoyBeforeMb = megabytes(gateway.envoyPid);
  const startedMs = performance.now();
  let failed = 0;
  let delayMaxMs = 0;
  let gcMaxMs = 0;
  for (let step = 1; step <= STEPS; step += 1) {
    const stream = step % 2 === 0;
    // Streams of 10 chunks and whole answers in turn, so that both ways are gone equally often.
    const report = await runLoad({
      ...{ port: gateway.port, connections: 16, seconds: LONGEST_SECONDS, count: Math.ceil(requests / STEPS) },
      ...{ stream, chunks: stream ? 10 : 100 },
    });
    failed += Object.entries(report.outcomes).reduce((total, [outcome, n]) => total + (outcome === '200' ? 0 : n), 0);
    const loop = await readLoop(gateway.metrics);
    delayMaxMs = Math.max(delayMaxMs, loop.delayMaxMs);
    gcMaxMs = Math.max(gcMaxMs, loop.gcMaxMs);
    gateway.accessLines();
    residentMb.push(megabytes(gateway.extprocPid));
    console.error(`soak: ${requestsAt(requests, step)} requests, ${residentMb.at(-1)?.toFixed(0)} MB`);
  }
  const seconds = (performance.now() - startedMs) / 1000;
  return [
    ...residentMb.map((value, step) =>
      figure(
        `processor, resident, ${step === 0 ? 'at the start' : `after ${requestsAt(requests, step)} requests`}`,
        value,
        'MB',
        step === STEPS ? RESIDENT_MB : undefined,
      ),
    ),
    figure(
      'processor, resident, growth in the second half',
      residentMb[STEPS]! - residentMb[STEPS / 2]!,
      'MB',
      GROWTH_MB,
    ),
    figure('Envoy, resident, at the start', envoyBeforeMb, 'MB'),
    figure('Envoy, resident, at the end', megabytes(gateway.envoyPid), 'MB'),
    figure('requests that failed', failed, 'requests', 0),
    figure('requests a second, with what is done between the steps', requests / seconds, ''),
    figure('event loop held at most', delayMaxMs, 'ms'),
    figure('longest GC pause', gcMaxMs, 'ms'),
  ];
}

function megabytes(pid: number): number {
  return residentBytes(pid) / 2 ** 20;
}

function requestsAt(requests: number, step: number): string {
  return Math.round((requests * step) / STEPS).toLocaleString('en');
}
