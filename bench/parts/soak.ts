/** A long run that shows whether memory stays constant. */

import { runLoad } from '../load.ts';
import { readLoop } from '../measure.ts';
import { residentBytes } from '../processes.ts';
import type { Figure } from '../results.ts';
import type { Testbed } from '../testbed.ts';

const STEPS = 10;
const LONGEST_SECONDS = 3600;
const RESIDENT_MB = 180;
/**
 * Memory reaches its level after a few hundred thousand requests; later differences depend on the
 * last collection only.
 */
const GROWTH_MB = 10;

export async function soak(testbed: Testbed, requests: number): Promise<readonly Figure[]> {
  const { gateway } = testbed;
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
    // Alternates streams of 10 chunks and unary responses, so that both paths run equally often.
    const report = await runLoad({
      port: gateway.port,
      connections: 16,
      seconds: LONGEST_SECONDS,
      count: Math.ceil(requests / STEPS),
      stream,
      chunks: stream ? 10 : 100,
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
    figure('requests per second, pauses between the steps included', requests / seconds, ''),
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
