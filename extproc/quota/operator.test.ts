import assert from 'node:assert/strict';
import { test } from 'node:test';
import { budgets, resetBudgets } from './operator.ts';
import {
  bucket,
  charge,
  costQuota,
  demand,
  granted,
  hour,
  minute,
  noOutput,
  quota,
  reserve,
  settle,
  simulate,
  slidingMinute,
  startMs,
} from './testing.ts';

for (const window of [minute, slidingMinute]) {
  test(`a reset restores the whole limit, keeps holds and admits waiting requests (${window.type})`, async () => {
    const { store, time } = simulate();
    const now = () => time.nowMs;
    const total = quota('TotalTokens', 100, { window, queueTimeoutMs: 5_000 });
    const of = [bucket(total)];
    const spent = granted(reserve(store, demand(of, startMs, 60)));
    settle(store, spent.hold, charge(60, 0), startMs);
    const open = granted(reserve(store, demand(of, startMs, 40)));
    const waiting: string[] = [];
    store.reserve(demand(of, startMs, 30), ({ type }) => waiting.push(type));
    const listed = [];
    for await (const one of budgets(store, {}, now)) {
      listed.push(one);
    }
    assert.deepEqual(
      listed.map(({ quota: id, key, spent, held, limit }) => [id, key, spent, held, limit]),
      [[total.id, ['a'], 60, 40, 100]],
    );
    assert.deepEqual(waiting, []);
    assert.deepEqual(await resetBudgets(store, { quota: total.id, key: ['b'] }, now), { budgets: 0, spent: 0 });
    assert.deepEqual(await resetBudgets(store, { quota: total.id }, now), { budgets: 1, spent: 60 });
    assert.deepEqual(waiting, ['granted']);
    assert.equal(store.snapshot(of, startMs)[0]?.remaining, 100 - 40 - 30);
    settle(store, open.hold, charge(40, 0), startMs);
    assert.equal(store.snapshot(of, startMs)[0]?.remaining, 100 - 40 - 30);
  });
}

test('budgets in money are decimal numbers with a currency', async () => {
  const { store, time } = simulate();
  const now = () => time.nowMs;
  const of = [bucket(costQuota(500_000_000_000))];
  const prices = { currency: 'USD', perMillionTokens: { input: 150_000_000, output: 600_000_000 } };
  const spent = granted(reserve(store, demand(of, startMs, 10, noOutput, true, prices)));
  settle(store, spent.hold, charge(10, 100), startMs);
  granted(reserve(store, demand(of, startMs, 2, noOutput, true, prices)));
  const listed = [];
  for await (const one of budgets(store, {}, now)) {
    listed.push([one.spent, one.held, one.limit, one.currency]);
  }
  assert.deepEqual(listed, [['0.0000615', '0.0000003', '500', 'USD']]);
  const reset = await resetBudgets(store, { quota: 'default/teams/Cost' }, now);
  assert.deepEqual(reset, { budgets: 1, spent: '0.0000615', currency: 'USD' });
});

test('a budget that is half spent after a quarter of its hour is exhausted after half of it', async () => {
  const { store } = simulate();
  const beginMs = Math.floor(startMs / 3_600_000) * 3_600_000;
  const of = [bucket(quota('TotalTokens', 100, { window: hour }))];
  const spent = granted(reserve(store, demand(of, beginMs, 50)));
  settle(store, spent.hold, charge(50, 0), beginMs);
  for (const [minutes, expected] of [
    [15, 30],
    [31, undefined],
  ] as const) {
    const now = () => beginMs + minutes * 60_000;
    for await (const { exhaustedAt } of budgets(store, {}, now)) {
      assert.equal(exhaustedAt, expected && new Date(beginMs + expected * 60_000).toISOString());
    }
  }
});

test('a sliding window counts its pace from its oldest charge', async () => {
  const { store } = simulate();
  const of = [bucket(quota('TotalTokens', 100, { window: slidingMinute }))];
  const spent = granted(reserve(store, demand(of, startMs, 50)));
  settle(store, spent.hold, charge(50, 0), startMs);
  const [state] = store.top(1, startMs);
  assert.deepEqual([state?.startMs, state?.endMs], [startMs, startMs + 60_000]);
});
