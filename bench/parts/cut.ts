/**
 * Measures how long a provider continues after a budget has ended: from the last paid chunk until
 * its connection closes.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type ProviderRequest, type RequestDetail, runLoad } from '../load.ts';
import { CUT_AFTER_TOKENS, CUT_MODEL } from '../resources.ts';
import type { Figure } from '../results.ts';
import { median, percentile } from '../statistics.ts';
import type { Testbed } from '../testbed.ts';

const STREAMS = 16;
const PACES_MS = [5, 20, 50];

export async function cuts(testbed: Testbed): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  for (const paceMs of PACES_MS) {
    figures.push(...(await cutsAt(testbed, paceMs)));
  }
  return figures;
}

async function cutsAt(testbed: Testbed, paceMs: number): Promise<readonly Figure[]> {
  const name = `cut-${paceMs}`;
  const reports = await Promise.all(
    Array.from({ length: STREAMS }, (_, index) =>
      runLoad({
        port: testbed.gateway.port,
        connections: 1,
        seconds: 60,
        count: 1,
        stream: true,
        chunks: 1000,
        paceMs,
        model: CUT_MODEL,
        team: `${name}-${index}`,
        detail: `${name}/${index}/`,
      }),
    ),
  );
  // The provider notices an end later than the client, so wait for it.
  await sleep(3 * paceMs + 200);
  const ends = new Map((await testbed.provider.requests(`${name}/`)).map((one) => [one.id, one]));
  const pairs = reports.flatMap(({ details = [] }) => details.map((client) => pairOf(client, ends.get(client.id))));
  const delays = pairs.map(({ client, provider }) => (provider.endedNs - client.lastStampNs) / 1e6);
  const at = `at one chunk per ${paceMs} ms`;
  const figure = (what: string, value: number, unit: string) => ({ part: 'cut', name: `${what}, ${at}`, value, unit });
  return [
    figure('last paid chunk sent → connection closed, median', median(delays), 'ms'),
    figure('last paid chunk sent → connection closed, slowest', percentile(delays, 1), 'ms'),
    figure(
      'chunks produced and not delivered, mean of streams',
      pairs.reduce((total, { client, provider }) => total + provider.chunks - client.chunks, 0) / pairs.length,
      'chunks',
    ),
    figure('chunks delivered of a budget of 60, median', median(pairs.map(({ client }) => client.chunks)), 'chunks'),
  ];
}

function pairOf(client: RequestDetail, provider: ProviderRequest | undefined) {
  if (provider === undefined || provider.finished || client.outcome !== '200' || client.chunks > CUT_AFTER_TOKENS) {
    throw new Error(`the budget did not cut ${JSON.stringify(client)}; the provider saw ${JSON.stringify(provider)}`);
  }
  return { client, provider };
}
