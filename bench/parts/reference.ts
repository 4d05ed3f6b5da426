/** The goals under load and of paced streams once more, by the programs that they were set with. */
import { type Stand, withStand } from '../bench.ts';
import { compare } from '../measure.ts';
import type { Options } from '../options.ts';
import { buildReference, runReference, startReferenceProvider } from '../reference.ts';
import type { Comparison } from '../results.ts';

const CONNECTIONS = 16;
const WARM_UP_SECONDS = 5;
const STREAMS = 200;
const PACE_MS = 50;
/** A stream takes 5 s: each connection has two of them. */
const PACED_SECONDS = 8;

export async function referenceComparisons(options: Options): Promise<readonly Comparison[]> {
  if (!buildReference()) {
    console.error('reference: skipped, its load programs are not here; REFERENCE_LOAD=DIR names their folder');
    return [];
  }
  return [...(await underLoad(options)), ...(await paced(options))];
}

function underLoad({ seconds, rounds }: Options): Promise<readonly Comparison[]> {
  return withStand({ startProvider: startReferenceProvider }, async (stand) => {
    const own = { ...stand, runLoad: runReference };
    await warmUp(stand);
    const load = { connections: CONNECTIONS, seconds };
    const json = { name: 'reference programs: JSON, 16 connections', kind: 'load', per: 'request', load } as const;
    const streams = { ...json, name: 'reference programs: streams of 100 chunks, 16 connections' };
    return [
      await compare(own, json, rounds),
      await compare(own, { ...streams, load: { ...load, stream: true } }, rounds),
    ];
  });
}

function paced({ rounds }: Options): Promise<readonly Comparison[]> {
  return withStand({ startProvider: (port) => startReferenceProvider(port, PACE_MS) }, async (stand) => {
    await warmUp(stand);
    const load = { connections: STREAMS, seconds: PACED_SECONDS, stream: true, stamp: true, chunks: 100 };
    const name = 'reference programs: 200 streams at 20 chunks a second, begun together';
    return [await compare({ ...stand, runLoad: runReference }, { name, kind: 'paced', per: 'chunk', load }, rounds)];
  });
}

async function warmUp({ gateway: { port } }: Stand): Promise<void> {
  const load = { port, connections: CONNECTIONS, seconds: WARM_UP_SECONDS };
  for (const stream of [false, true, false]) {
    await runReference({ ...load, stream });
  }
}
