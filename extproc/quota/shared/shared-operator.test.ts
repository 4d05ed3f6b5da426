/** What an operator changes and sees of budgets that replicas share. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { budgets, grantBudget, resetBudgets } from '../operator.ts';
import { bucket, demand, granted, lifetime, noOutput, quota, slidingMinute } from '../testing.ts';
import { Replicas, type TestReplica } from './testing/replicas.ts';

const tokens = quota('TotalTokens', 1_000, { window: lifetime });
const of = { quota: tokens.id, key: ['a'] };

function spend(replicas: Replicas, replica: TestReplica, amount: number): string {
  const decision = replicas.decide(replica, demand([bucket(tokens)], replicas.time.nowMs, amount, noOutput));
  if (decision.type === 'granted') {
    replicas.settle(replica, decision.hold, amount);
  }
  return decision.type;
}

test('a reset through a replica that has not used a key reaches the replicas that have', async () => {
  const replicas = new Replicas();
  const [user, stranger] = [replicas.add([tokens]), replicas.add([tokens])] as const;
  spend(replicas, user, 1_000);
  assert.equal(spend(replicas, user, 100), 'refused');
  const reset = await resetBudgets(stranger.local, of, () => replicas.time.nowMs);
  assert.deepEqual(reset, { budgets: 1, spent: 0, shared: true });
  replicas.time.pass(1_500);
  assert.equal(replicas.totals(bucket(tokens).key)?.spent, 0);
  assert.equal(spend(replicas, user, 600), 'granted');
});

test('a grant through a replica that has not used a key reaches the replicas that have', () => {
  const replicas = new Replicas();
  const [user, stranger] = [replicas.add([tokens]), replicas.add([tokens])] as const;
  spend(replicas, user, 1_000);
  const grant = grantBudget(stranger.local, { ...of, amount: '500' }, replicas.time.nowMs);
  assert.deepEqual(grant, { amount: 500, limit: 1_500, shared: true });
  replicas.time.pass(1_500);
  granted(replicas.decide(user, demand([bucket(tokens)], replicas.time.nowMs, 500, noOutput)));
});

test('a reset without a key concerns the keys that the replica has used', async () => {
  const replicas = new Replicas();
  const [user, stranger] = [replicas.add([tokens]), replicas.add([tokens])] as const;
  spend(replicas, user, 400);
  replicas.time.pass(1_500);
  const filter = { quota: tokens.id };
  assert.equal((await resetBudgets(stranger.local, filter, () => replicas.time.nowMs)).budgets, 0);
  const listed: unknown[] = [];
  for await (const { key, spent } of budgets(stranger.local, {}, () => replicas.time.nowMs)) {
    listed.push([key, spent]);
  }
  assert.deepEqual(listed, []);
  assert.deepEqual(await resetBudgets(user.local, filter, () => replicas.time.nowMs), {
    budgets: 1,
    spent: 400,
    shared: true,
  });
});

const inMinute = quota('TotalTokens', 1_000, { window: slidingMinute });

test('a sliding window that replicas share has a forecast', async () => {
  const replicas = new Replicas();
  const [one, other] = [replicas.add([inMinute]), replicas.add([inMinute])] as const;
  const spendOf = (replica: TestReplica, amount: number) => {
    const of = demand([bucket(inMinute)], replicas.time.nowMs, amount, noOutput);
    replicas.settle(replica, granted(replicas.decide(replica, of)).hold, amount);
  };
  spendOf(one, 300);
  const beganMs = replicas.time.nowMs;
  replicas.time.pass(15_000);
  spendOf(other, 300);
  replicas.time.pass(1_500);
  const nowMs = replicas.time.nowMs;
  const [state] = other.local.top(1, nowMs);
  assert.ok(Math.abs((state?.startMs ?? 0) - beganMs) <= 1_000, `${state?.startMs}, charged at ${beganMs}`);
  assert.equal((state?.endMs ?? 0) - (state?.startMs ?? 0), 60_000);
  for await (const { spent, exhaustedAt, sharedAt } of budgets(other.local, {}, () => nowMs)) {
    assert.equal(spent, 600);
    const ageMs = nowMs - Date.parse(sharedAt ?? '');
    assert.ok(ageMs >= 0 && ageMs <= 1_500, `counted ${sharedAt}`);
    const expectedMs = nowMs + (400 * (nowMs - (state?.startMs ?? 0))) / 600;
    assert.equal(exhaustedAt, new Date(Math.round(expectedMs)).toISOString());
  }
});

test('a grant to a shared sliding window ends one length of the window later', () => {
  const replicas = new Replicas();
  const one = replicas.add([inMinute]);
  grantBudget(one.local, { quota: inMinute.id, key: ['a'], amount: '500' }, replicas.time.nowMs);
  const limits: (number | undefined)[] = [];
  for (const afterMs of [1_000, 50_000, 15_000]) {
    replicas.time.pass(afterMs);
    const of = demand([bucket(inMinute)], replicas.time.nowMs, 10, noOutput);
    replicas.settle(one, granted(replicas.decide(one, of)).hold, 10);
    replicas.time.pass(1_500);
    limits.push(replicas.totals(bucket(inMinute).key)?.limit);
  }
  assert.deepEqual(limits, [1_500, 1_500, 1_000]);
});
