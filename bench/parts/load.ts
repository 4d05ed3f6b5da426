/** Measures maximum throughput: unary responses, streams, and large prompts. */

import { withEmpty } from '../empty.ts';
import { compare, type Load } from '../measure.ts';
import type { Options } from '../options.ts';
import type { Comparison } from '../results.ts';
import type { Testbed } from '../testbed.ts';

const scenarios: readonly { readonly name: string; readonly load: Omit<Load, 'seconds'> }[] = [
  { name: 'JSON, 1 connection', load: { connections: 1 } },
  { name: 'JSON, 16 connections', load: { connections: 16 } },
  { name: 'streams of 100 chunks, 1 connection', load: { connections: 1, stream: true } },
  { name: 'streams of 100 chunks, 16 connections', load: { connections: 16, stream: true } },
  {
    name: 'streams of 100 chunks, 16 connections, usage not asked for',
    load: { connections: 16, stream: true, askUsage: false },
  },
  { name: 'JSON, prompt of 60 KB, 8 connections', load: { connections: 8, promptBytes: 60_000 } },
  { name: 'JSON, prompt of 250 KB, 8 connections', load: { connections: 8, promptBytes: 250_000 } },
  {
    name: 'streams of 100 chunks, prompt of 250 KB, 8 connections',
    load: { connections: 8, promptBytes: 250_000, stream: true },
  },
  { name: 'JSON, prompt of 1 MB, 4 connections', load: { connections: 4, promptBytes: 1_000_000 } },
];

/** The empty processor is the third side: it shows the limit of the transport. */
export function loadComparisons(testbed: Testbed, options: Options): Promise<readonly Comparison[]> {
  return withEmpty(testbed, async (empty) => {
    const comparisons: Comparison[] = [];
    for (const { name, load } of scenarios.filter((one) => one.name.includes(options.only))) {
      const scenario = { name, kind: 'load', per: 'request', load: { ...load, seconds: options.seconds } } as const;
      comparisons.push(await compare(testbed, scenario, options.rounds, empty));
    }
    return comparisons;
  });
}
