/** Windows that have begun for the gateways, but not for a store whose clock is behind. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bucket, demand, granted, minute, noOutput, quota } from '../testing.ts';
import { MemoryAllowances } from './memory-allowances.ts';
import { Replicas } from './testing/replicas.ts';

test('what a store refuses because its clock is behind is reported once the clock is right', () => {
  const replicas = new Replicas();
  let behindMs = 180_000;
  replicas.allowances = new MemoryAllowances(() => replicas.time.nowMs - behindMs);
  const counted = quota('TotalTokens', 1_000, { window: minute, mode: 'Shadow' });
  const replica = replicas.add([counted]);
  const { hold } = granted(replicas.decide(replica, demand([bucket(counted)], replicas.time.nowMs, 40, noOutput)));
  replicas.settle(replica, hold, 30);
  replicas.time.pass(5_000);
  assert.equal(replicas.totals(bucket(counted).key), undefined, 'the window is in the future of the store');
  const asked = replicas.requests.length;
  replicas.time.pass(5_000);
  assert.ok(replicas.requests.length - asked <= 6, 'asks about once a second');
  behindMs = 0;
  replicas.time.pass(3_000);
  assert.equal(replicas.totals(bucket(counted).key)?.spent, 30);
});
