/** What a gateway is there for most of the time: many streams that are as slow as a model, and how late each chunk comes. */
import type { Stand } from '../bench.ts';
import { compare } from '../measure.ts';
import type { Options } from '../options.ts';
import type { Comparison } from '../results.ts';

const STREAMS = 200;
const CHUNKS = 100;
const PACE_MS = 50;

export async function pacedComparisons(stand: Stand, options: Options): Promise<readonly Comparison[]> {
  const load = { connections: STREAMS, stream: true, stamp: true, chunks: CHUNKS, paceMs: PACE_MS };
  // A stream takes 5 s: each connection has two of them.
  const seconds = (1.5 * CHUNKS * PACE_MS) / 1000;
  const together = `${STREAMS} streams at 20 chunks a second, begun together`;
  const apart = `${STREAMS} streams at 20 chunks a second, begun over 1 s`;
  return [
    await compare(stand, { name: together, kind: 'paced', per: 'chunk', load: { ...load, seconds } }, options.rounds),
    await compare(
      stand,
      { name: apart, kind: 'paced', per: 'chunk', load: { ...load, seconds, rampSeconds: 1 } },
      options.rounds,
    ),
  ];
}
