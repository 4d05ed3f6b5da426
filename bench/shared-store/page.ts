/** Writes the measurements of the shared store as a page. */
import { machineLines, short, table } from '../report.ts';
import type { Machine } from '../results.ts';
import { median, ratioOf } from '../statistics.ts';
import type { CallsRow, ColdRow, CostRow, KeysRow, SideSample } from './measure.ts';

/** The goal with Redis on the same machine. */
const LEAST_RATIO = 0.95;

export interface SharedStoreResults {
  readonly startedAt: string;
  readonly machine: Machine;
  readonly rounds: number;
  readonly seconds: number;
  readonly costs: readonly {
    readonly roundTripMs: number;
    readonly rows: { readonly scenarios: readonly CostRow[]; readonly cold: ColdRow };
  }[];
  readonly calls: readonly CallsRow[];
  readonly keys: readonly KeysRow[];
}

export function sharedStorePage({
  startedAt,
  machine,
  rounds,
  seconds,
  costs,
  calls,
  keys,
}: SharedStoreResults): string {
  return `${[
    '# What the shared quota store costs',
    machineLines(startedAt, machine).join('\n'),
    `A gateway with its own store and one that shares its counts in Redis on the same machine, in turn: ${rounds} pairs of ${seconds} s for each scenario. The figures are medians, and ratios by pair (minimum to maximum in brackets). A proxy delays the round trips above 0 ms. Provider, client, Envoys, processors and Redis share these cores.`,
    `## Requests per second, shared to own\n\nGoal at 0 ms: at least ${LEAST_RATIO}.`,
    table(['', ...costs.map(({ roundTripMs }) => `${roundTripMs} ms`)], ratioRows(costs)),
    '## Latency, own → shared',
    table(['', ...costs.map(({ roundTripMs }) => `${roundTripMs} ms`)], latencyRows(costs)),
    '## Script calls as the load grows',
    table(
      ['connections', 'requests/s', 'calls/s', 'calls a request', 'Redis, ms of processor time a second'],
      calls.map((row) => [
        String(row.connections),
        short(row.requestsPerSecond),
        short(row.callsPerSecond),
        short(row.callsPerSecond / row.requestsPerSecond),
        short(row.redisMs),
      ]),
    ),
    '## Many keys\n\nEach request is of another key, in turn, with 16 connections.',
    table(
      ['keys', 'requests/s', 'p50 ms', 'p99 ms', 'processor µs a request', 'calls a request', 'extproc MB', 'Redis MB'],
      keys.map((row) => [
        String(row.keys),
        short(row.requestsPerSecond),
        short(row.p50Ms),
        short(row.p99Ms),
        short(row.processorUs),
        short(row.callsPerRequest),
        short(row.extprocBytes / 2 ** 20),
        short(row.redisBytes / 2 ** 20),
      ]),
    ),
  ].join('\n\n')}\n`;
}

type Costs = SharedStoreResults['costs'];

function ratioRows(costs: Costs): readonly (readonly string[])[] {
  return names(costs).map((name, index) => [
    name,
    ...costs.map(({ rows }) => {
      const pairs = rows.scenarios[index]!.pairs;
      const ratio = ratioOf(pairs.map(({ own, shared }) => [shared.requestsPerSecond, own.requestsPerSecond]));
      return `**${short(ratio.median)}** (${short(ratio.least)}–${short(ratio.most)})`;
    }),
  ]);
}

function latencyRows(costs: Costs): readonly (readonly string[])[] {
  const fromTo = (pairs: CostRow['pairs'], read: (one: SideSample) => number) =>
    `${short(median(pairs.map(({ own }) => read(own))))} → ${short(median(pairs.map(({ shared }) => read(shared))))}`;
  const each = (what: string, read: (row: CostRow) => string) =>
    names(costs).map((name, index) => [`${name}: ${what}`, ...costs.map(({ rows }) => read(rows.scenarios[index]!))]);
  return [
    ...each('p50 ms', ({ pairs }) => fromTo(pairs, ({ p50Ms }) => p50Ms)),
    ...each('p99 ms', ({ pairs }) => fromTo(pairs, ({ p99Ms }) => p99Ms)),
    ...each('processor µs a request', ({ pairs }) => fromTo(pairs, ({ processorUs }) => processorUs)),
    ...each('script calls a request', ({ callsPerRequest }) => short(callsPerRequest)),
    [
      'first request of a key, p50 ms',
      ...costs.map(({ rows: { cold } }) => `${short(cold.ownMs)} → ${short(cold.sharedMs)}`),
    ],
  ];
}

function names(costs: Costs): readonly string[] {
  return costs[0]?.rows.scenarios.map(({ name }) => name) ?? [];
}
