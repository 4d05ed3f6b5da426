import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UsageSums } from '../../extproc/quota/usage-report.ts';
import { shownAge, shownMoney, shownOwner } from './format.ts';
import { measuresOf, spendOf, stacked } from './spend-series.ts';

function sums(day: string, model: string, requests: number, cost: Readonly<Record<string, string>> = {}): UsageSums {
  const tokens = { inputTokens: 10 * requests, outputTokens: requests, cachedInputTokens: 5 };
  return { group: { day, model }, requests, ...tokens, cacheWriteInputTokens: 0, reasoningOutputTokens: 0, cost };
}

const span = { sinceMs: Date.parse('2026-11-01T05:00:00Z'), untilMs: Date.parse('2026-11-04T05:00:00Z') };
const query = { step: 'day', group: 'model', measure: 'requests' } as const;

test('spend has a value for each day without gaps, the largest series first', () => {
  const rows = [sums('2026-11-01', 'small', 2), sums('2026-11-03', 'large', 5), sums('2026-11-03', 'small', 1)];
  const spend = spendOf(rows, query, span);
  assert.deepEqual(
    spend.timesMs.map((ms) => new Date(ms).toISOString().slice(0, 10)),
    ['2026-11-01', '2026-11-02', '2026-11-03', '2026-11-04'],
  );
  assert.deepEqual(spend.series, [
    { name: 'large', total: 5, values: [0, 0, 5, 0] },
    { name: 'small', total: 3, values: [2, 0, 1, 0] },
  ]);
  assert.deepEqual(stacked(spend), [
    [0, 0, 5, 0],
    [2, 0, 6, 0],
  ]);
});

test('spend beyond six groups is one series, and the sum stays', () => {
  const rows = Array.from({ length: 9 }, (_, nth) => sums('2026-11-02', `m${nth}`, nth + 1));
  const { series } = spendOf(rows, query, span);
  assert.deepEqual(
    series.map(({ name, total }) => `${name} ${total}`),
    ['m8 9', 'm7 8', 'm6 7', 'm5 6', 'm4 5', 'm3 4', '3 others 6'],
  );
});

test('spend is shown in each currency, in tokens and in requests', () => {
  const rows = [sums('2026-11-02', 'a', 2, { USD: '0.5', EUR: '1.25' }), sums('2026-11-02', 'a', 1, { USD: '0.25' })];
  assert.deepEqual(measuresOf(rows), ['EUR', 'USD', 'tokens', 'requests']);
  const total = (measure: string) => spendOf(rows, { ...query, measure }, span).series[0]?.total;
  assert.deepEqual([total('USD'), total('EUR'), total('tokens')], [0.75, 1.25, 33]);
});

test('ages, names and small amounts of money can be read', () => {
  assert.deepEqual([shownAge(5_400), shownAge(125_000), shownAge(7_260_000)], ['5 s', '2 min 5 s', '2 h 1 min']);
  assert.equal(shownOwner({ tenant: 'red', key: 'default/ci' }), 'red / default/ci');
  assert.equal(shownOwner({}), '–');
  assert.match(shownMoney(0.000123, 'USD'), /^0.000123 USD$/);
});
