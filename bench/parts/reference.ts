/**
 * Measures the goals under load and with paced streams again, using the programs that the goals
 * were set with.
 */

import { withEmpty } from '../empty.ts';
import { compare, type Load } from '../measure.ts';
import type { Options } from '../options.ts';
import { buildReference, runReference, startReferenceProvider } from '../reference.ts';
import type { Comparison } from '../results.ts';
import { type Testbed, withTestbed } from '../testbed.ts';

const CONNECTIONS = 16;
const WARM_UP_SECONDS = 5;
const STREAMS = 200;
const PACE_MS = 50;
/** A stream takes 5 s, so each connection has two of them. */
const PACED_SECONDS = 8;

const scenarios: readonly { readonly name: string; readonly load: Omit<Load, 'seconds'> }[] = [
  { name: 'JSON, 16 connections', load: { connections: CONNECTIONS } },
  { name: 'streams of 100 chunks, 16 connections', load: { connections: CONNECTIONS, stream: true } },
  { name: 'JSON, prompt of 60 KB, 8 connections', load: { connections: 8, promptBytes: 60_000 } },
  { name: 'JSON, prompt of 250 KB, 8 connections', load: { connections: 8, promptBytes: 250_000 } },
  {
    name: 'streams of 100 chunks, prompt of 250 KB, 8 connections',
    load: { connections: 8, promptBytes: 250_000, stream: true },
  },
  { name: 'JSON, prompt of 1 MB, 4 connections', load: { connections: 4, promptBytes: 1_000_000 } },
];

export async function referenceComparisons(options: Options): Promise<readonly Comparison[]> {
  if (!buildReference()) {
    console.error('reference: skipped, no load programs; set REFERENCE_LOAD=DIR to their folder');
    return [];
  }
  return [...(await underLoad(options)), ...(await paced(options))];
}

function underLoad({ seconds, rounds }: Options): Promise<readonly Comparison[]> {
  return withTestbed({ startProvider: startReferenceProvider }, async (testbed) => {
    const own = { ...testbed, runLoad: runReference };
    await warmUp(testbed);
    return withEmpty(own, async (empty) => {
      const comparisons: Comparison[] = [];
      for (const { name, load } of scenarios) {
        const scenario = { name: `reference programs: ${name}`, kind: 'load', per: 'request' } as const;
        comparisons.push(await compare(own, { ...scenario, load: { ...load, seconds } }, rounds, empty));
      }
      return comparisons;
    });
  });
}

function paced({ rounds }: Options): Promise<readonly Comparison[]> {
  return withTestbed({ startProvider: (port) => startReferenceProvider(port, PACE_MS) }, async (testbed) => {
    await warmUp(testbed);
    const load = { connections: STREAMS, seconds: PACED_SECONDS, stream: true, stamp: true, chunks: 100 };
    const name = 'reference programs: 200 streams at 20 chunks per second, started together';
    return [await compare({ ...testbed, runLoad: runReference }, { name, kind: 'paced', per: 'chunk', load }, rounds)];
  });
}

async function warmUp({ gateway: { port } }: Testbed): Promise<void> {
  const load = { port, connections: CONNECTIONS, seconds: WARM_UP_SECONDS };
  for (const stream of [false, true, false]) {
    await runReference({ ...load, stream });
  }
}
