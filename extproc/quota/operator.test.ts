import assert from 'node:assert/strict';
import { test } from 'node:test';
import { budgets, grantBudget, resetBudgets } from './operator.ts';
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

for (const window of [minute, slidingMinute]) {
  test(`a grant raises the limit of one key for the length of its window (${window.type})`, () => {
    const { store, time } = simulate();
    const total = quota('TotalTokens', 100, { window, queueTimeoutMs: 5_000 });
    store.define([total], { epoch: 1, counter: 1 }, startMs);
    const of = [bucket(total)];
    settle(store, granted(reserve(store, demand(of, startMs, 100))).hold, charge(100, 0), startMs);
    const open = granted(reserve(store, demand([bucket(total, 'b')], startMs, 90))).hold;
    const waiting: string[] = [];
    store.reserve(demand([bucket(total, 'b')], startMs, 30), ({ type }) => waiting.push(type));
    assert.equal(reserve(store, demand(of, startMs, 120))?.type, 'refused');
    const grant = { quota: total.id, key: ['a'], amount: '50' };
    assert.deepEqual(grantBudget(store, grant, startMs), { amount: 50, limit: 150 });
    settle(store, granted(reserve(store, demand(of, startMs, 40))).hold, charge(40, 0), startMs);
    assert.equal(reserve(store, demand(of, startMs, 11, noOutput))?.type, 'refused');
    assert.deepEqual(waiting, []);
    grantBudget(store, { ...grant, key: ['b'] }, startMs);
    assert.deepEqual(waiting, ['granted']);
    settle(store, open, 'nothing', startMs);
    time.nowMs = startMs + 121_000;
    const after = store.table.findOrAdd(bucket(total), time.nowMs);
    assert.equal(after?.limit, 100);
  });
}

test('a grant of money takes a decimal number, and wrong grants say why', () => {
  const { store } = simulate();
  const cost = costQuota(1_000_000_000);
  const running = quota('ConcurrentRequests', 4, { id: 'default/teams/running', window: { type: 'None' } });
  store.define([cost, running], { epoch: 1, counter: 1 }, startMs);
  const of = { quota: cost.id, key: ['a'] };
  assert.deepEqual(grantBudget(store, { ...of, amount: '0.25' }, startMs), {
    amount: '0.25',
    limit: '1.25',
    currency: 'USD',
  });
  for (const [grant, message] of [
    [{ ...of, amount: '-1' }, /above 0/],
    [{ ...of, amount: '0' }, /above 0/],
    [{ ...of, amount: '1e9' }, /above 0/],
    [{ ...of, key: [], amount: '1' }, /needs one --key/],
    [{ quota: 'default/teams/none', key: [], amount: '1' }, /no quota default\/teams\/none is in force/],
    [{ quota: running.id, key: ['a'], amount: '1' }, /counts running requests/],
  ] as const) {
    assert.throws(() => grantBudget(store, grant, startMs), message);
  }
});
