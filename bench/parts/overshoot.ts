/**
 * Runs many streams against one budget with continuing demand, and compares what is charged and
 * delivered with the limit.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { runLoad } from '../load.ts';
import { BUDGET_MODEL, BUDGET_TOKENS } from '../resources.ts';
import type { Figure } from '../results.ts';
import { sum } from '../statistics.ts';
import type { Testbed } from '../testbed.ts';

const STREAMS = 64;
const SECONDS = 8;

export async function overshoot(testbed: Testbed): Promise<readonly Figure[]> {
  testbed.gateway.accessLines();
  const report = await runLoad({
    port: testbed.gateway.port,
    connections: STREAMS,
    seconds: SECONDS,
    stream: true,
    chunks: 300,
    paceMs: 10,
    model: BUDGET_MODEL,
    team: 'overshoot',
    detail: 'overshoot/',
  });
  await sleep(500);
  const lines = testbed.gateway.accessLines();
  const tokens = lines.map((line) => (line['tokens'] ?? {}) as Readonly<Record<string, number>>);
  const charged = sum(tokens.map((one) => (one['input'] ?? 0) + (one['output'] ?? 0)));
  const output = sum(tokens.map((one) => one['output'] ?? 0));
  const overdrafts = lines.flatMap((line) => (line['overdrafts'] ?? []) as readonly { readonly tokens: number }[]);
  const served = (report.details ?? []).filter(({ outcome }) => outcome === '200');
  const delivered = sum(served.map(({ chunks }) => chunks));
  const produced = sum((await testbed.provider.requests('overshoot/')).map(({ chunks }) => chunks));
  const figure = (name: string, value: number, unit = 'tokens') => ({ part: 'overshoot', name, value, unit });
  return [
    figure(`budget, with ${STREAMS} concurrent streams and continuing demand`, BUDGET_TOKENS),
    figure('streams served', served.length, 'streams'),
    { ...figure('charged', charged), goal: { atMost: BUDGET_TOKENS } },
    { ...figure('share of the budget used', (charged / BUDGET_TOKENS) * 100, '%'), goal: { atLeast: 98, atMost: 100 } },
    { ...figure('delivered to clients and not charged', Math.max(0, delivered - output)), goal: { atMost: 0 } },
    { ...figure('recorded as overdraft', sum(overdrafts.map((one) => one.tokens))), goal: { atMost: 0 } },
    figure('output that clients got', delivered),
    figure('output that the provider made', produced),
    { ...figure('streams that broke off', brokenOf(report.outcomes), 'streams'), goal: { atMost: 0 } },
  ];
}

/** Counts all outcomes except complete responses and refusals. */
function brokenOf(outcomes: Readonly<Record<string, number>>): number {
  return sum(Object.entries(outcomes).map(([outcome, count]) => (outcome === '200' || outcome === '429' ? 0 : count)));
}
