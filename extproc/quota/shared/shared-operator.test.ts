/** What an operator changes and sees of budgets that replicas share. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { budgets, grantBudget, resetBudgets } from '../operator.ts';
import { bucket, demand, granted, lifetime, noOutput, quota } from '../testing.ts';
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
