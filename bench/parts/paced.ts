/**
 * Measures the usual work of a gateway: many streams at the speed of a model, and the delay of each
 * chunk.
 */

import { compare } from '../measure.ts';
import type { Options } from '../options.ts';
import type { Comparison } from '../results.ts';
import type { Testbed } from '../testbed.ts';

const STREAMS = 200;
const CHUNKS = 100;
const PACE_MS = 50;

export async function pacedComparisons(testbed: Testbed, options: Options): Promise<readonly Comparison[]> {
  const load = { connections: STREAMS, stream: true, stamp: true, chunks: CHUNKS, paceMs: PACE_MS };
  // A stream takes 5 s, so each connection has two of them.
  const seconds = (1.5 * CHUNKS * PACE_MS) / 1000;
  const together = `${STREAMS} streams at 20 chunks per second, started together`;
  const apart = `${STREAMS} streams at 20 chunks per second, started over 1 s`;
  return [
    await compare(testbed, { name: together, kind: 'paced', per: 'chunk', load: { ...load, seconds } }, options.rounds),
    await compare(
      testbed,
      { name: apart, kind: 'paced', per: 'chunk', load: { ...load, seconds, rampSeconds: 1 } },
      options.rounds,
    ),
  ];
}
