/** A long run: whether memory stays where it is. */
import type { Stand } from '../bench.ts';
import { runLoad } from '../load.ts';
import { readLoop } from '../measure.ts';
import { residentBytes } from '../processes.ts';
import type { Figure } from '../results.ts';

const STEPS = 10;
const LONGEST_SECONDS = 3600;

export async function soak(stand: Stand, requests: number): Promise<readonly Figure[]> {
  const { gateway } = stand;
  const part = 'soak';
  const figures: Figure[] = [];
  const resident = (name: string, goal?: Figure['goal']) =>
    figures.push({
      part,
      name: `processor, resident, ${name}`,
      value: residentBytes(gateway.extprocPid) / 2 ** 20,
      unit: 'MB',
      ...(goal && { goal }),
    });
  resident('before');
  let failed = 0;
  let delayMaxMs = 0;
  for (let step = 1; step <= STEPS; step += 1) {
    const stream = step % 2 === 0;
    // Streams of 10 chunks and whole answers in turn, so that both ways are gone equally often.
    const report = await runLoad({
      ...{ port: gateway.port, connections: 16, seconds: LONGEST_SECONDS, count: Math.ceil(requests / STEPS) },
      ...{ stream, chunks: stream ? 10 : 100 },
    });
    failed += Object.entries(report.outcomes).reduce((total, [outcome, n]) => total + (outcome === '200' ? 0 : n), 0);
    delayMaxMs = Math.max(delayMaxMs, (await readLoop(gateway.metrics)).delayMaxMs);
    gateway.accessLines();
    const done = Math.round((requests * step) / STEPS);
    resident(`after ${done.toLocaleString('en')} requests`, step === STEPS ? { atMost: 180 } : undefined);
    console.error(`soak: ${done} of ${requests} requests`);
  }
  return [
    ...figures,
    { part, name: 'requests that failed', value: failed, unit: 'requests', goal: { atMost: 0 } },
    { part, name: 'event loop held at most', value: delayMaxMs, unit: 'ms' },
  ];
}
