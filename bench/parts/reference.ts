/** The two goals under load once more, by the programs that they were set with. */
import { withStand } from '../bench.ts';
import { compare } from '../measure.ts';
import type { Options } from '../options.ts';
import { buildReference, runReference, startReferenceProvider } from '../reference.ts';
import type { Comparison } from '../results.ts';

const CONNECTIONS = 16;
const WARM_UP_SECONDS = 5;

export async function referenceComparisons(options: Options): Promise<readonly Comparison[]> {
  if (!buildReference()) {
    console.error('reference: left out, its load programs are not here');
    return [];
  }
  return withStand({ startProvider: startReferenceProvider }, async (stand) => {
    const own = { ...stand, runLoad: runReference };
    const load = { connections: CONNECTIONS, seconds: options.seconds };
    for (const stream of [false, true])
      await runReference({ ...load, port: stand.gateway.port, seconds: WARM_UP_SECONDS, stream });
    const json = { name: 'reference programs: JSON, 16 connections', kind: 'load', per: 'request', load } as const;
    const streams = { ...json, name: 'reference programs: streams of 100 chunks, 16 connections' };
    return [
      await compare(own, json, options.rounds),
      await compare(own, { ...streams, load: { ...load, stream: true } }, options.rounds),
    ];
  });
}
