/** Writes the comparison as a page. */
import { machineLines, short, table } from '../report.ts';
import type { Machine } from '../results.ts';
import { median } from '../statistics.ts';
import {
  JSON_CONNECTIONS,
  JSON_MAX_TOKENS,
  JSON_MS,
  JSON_TOKENS,
  LOAD_SECONDS,
  type SideResult,
  STREAM_PACE_MS,
  STREAM_TOKENS,
  STREAMS,
} from './contest.ts';

export interface RateLimitComparison {
  readonly startedAt: string;
  readonly machine: Machine;
  readonly budget: number;
  /** One result of each round, by the name of the side. */
  readonly results: ReadonlyMap<string, readonly SideResult[]>;
}

export function rateLimitPage({ startedAt, machine, budget, results }: RateLimitComparison): string {
  const sides = [...results];
  const rows = figures(budget).map(({ name, read }) => [
    name,
    ...sides.map(([, rounds]) => spread(rounds.map((round) => read(round)))),
  ]);
  return `${[
    "# Token budgets: Envoy's rate limit service and Tallygate",
    machineLines(startedAt, machine).join('\n'),
    `One budget of ${budget} tokens, nothing of it spent. For ${LOAD_SECONDS} s, ${STREAMS} connections ask for streams (${STREAM_TOKENS} tokens, one every ${STREAM_PACE_MS} ms, begun evenly over the length of a stream) and ${JSON_CONNECTIONS} for JSON (${JSON_TOKENS} tokens after ${JSON_MS} ms, \`max_completion_tokens\` ${JSON_MAX_TOKENS}), evenly over the replicas. After a 429, a connection waits for half a second.`,
    `Medians of ${Math.max(...sides.map(([, rounds]) => rounds.length))} rounds, least to most in brackets. All sides run in turn on the same machine.`,
    table(['', ...sides.map(([name]) => name)], rows),
  ].join('\n\n')}\n`;
}

interface RateLimitFigure {
  readonly name: string;
  read(result: SideResult): number;
}

function figures(budget: number): readonly RateLimitFigure[] {
  return [
    { name: 'tokens delivered', read: ({ delivered }) => delivered },
    { name: 'overshoot, tokens', read: ({ delivered }) => Math.max(0, delivered - budget) },
    { name: 'overshoot, % of the budget', read: ({ delivered }) => Math.max(0, (delivered / budget - 1) * 100) },
    { name: 'utilization, % of the budget', read: ({ delivered }) => Math.min(100, (delivered / budget) * 100) },
    { name: 'delivered and not charged, tokens', read: ({ delivered, charged }) => Math.max(0, delivered - charged) },
    { name: 'requests served', read: ({ served }) => served },
    { name: 'of these, streams cut at the end of the budget', read: ({ cut }) => cut },
    { name: 'requests refused', read: ({ refused }) => refused },
    { name: 'of these, although their tokens were not delivered yet', read: ({ refusedEarly }) => refusedEarly },
    { name: 'of these, although no request in flight used them either', read: ({ refusedWrongly }) => refusedWrongly },
    { name: 'requests that failed', read: ({ broken }) => broken },
    {
      name: 'clients that leave mid-stream: delivered and not charged, % of delivered',
      read: ({ abandonedDelivered, abandonedCharged }) =>
        Math.max(0, (1 - abandonedCharged / abandonedDelivered) * 100),
    },
    {
      name: 'latency added to a JSON response, ms',
      read: ({ latencyMs, latencyAloneMs }) => latencyMs - latencyAloneMs,
    },
    { name: 'first byte of a stream under this load, ms', read: ({ firstByteMs }) => firstByteMs },
  ];
}

function spread(values: readonly number[]): string {
  const least = Math.min(...values);
  const most = Math.max(...values);
  return least === most ? short(least) : `${short(median(values))} (${short(least)}–${short(most)})`;
}
