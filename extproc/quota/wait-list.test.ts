import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MemoryStore } from './memory.ts';
import type { BucketRef, Decision, OutputDemand } from './store.ts';
import {
  bucket,
  charge,
  counts,
  demand,
  granted,
  minute,
  noOutput,
  quota,
  settle,
  simulate,
  slidingMinute,
  startMs,
} from './testing.ts';

const patient = quota('TotalTokens', 100, { queueTimeoutMs: 5_000 });
const buckets = [bucket(patient)];

interface Asked {
  decision: Decision | undefined;
  cancel: () => void;
}

/** A request whose decision may come later. */
function ask(
  store: MemoryStore,
  of: readonly BucketRef[],
  inputTokens: number,
  output: OutputDemand = noOutput,
): Asked {
  const asked: Asked = { decision: undefined, cancel: () => {} };
  asked.cancel = store.reserve(demand(of, startMs, inputTokens, output), (decision) => {
    assert.equal(asked.decision, undefined, 'decided twice');
    asked.decision = decision;
  });
  return asked;
}

function typeOf({ decision }: Asked): Decision['type'] | undefined {
  return decision?.type;
}

test('a request that only holds stop waits in FIFO order, and none overtakes', () => {
  const { store, time } = simulate();
  const running = granted(ask(store, buckets, 90).decision);
  const large = ask(store, buckets, 60);
  const small = ask(store, buckets, 5);
  const other = ask(store, [bucket(patient, 'other team')], 5);
  assert.deepEqual([large.decision, small.decision, other.decision?.type], [undefined, undefined, 'granted']);
  assert.equal(counts(store).waiting, 2);
  settle(store, running.hold, charge(10, 0), startMs);
  assert.equal(typeOf(large), 'granted');
  assert.equal(typeOf(small), 'granted');
  assert.equal(time.pending, 0);
});

test('a wait ends with the queue timeout, refused as held; without a timeout at once', () => {
  const { store, time } = simulate();
  granted(ask(store, buckets, 90).decision);
  const waiting = ask(store, buckets, 60);
  const eager = quota('InputTokens', 1000, { queueTimeoutMs: 0 });
  const hasNoTime = ask(store, [...buckets, bucket(eager)], 60);
  assert(hasNoTime.decision?.type === 'refused' && hasNoTime.decision.reason === 'held');
  time.pass(4_999);
  assert.equal(typeOf(waiting), undefined);
  time.pass(1);
  assert(waiting.decision?.type === 'refused' && waiting.decision.reason === 'held');
  assert.equal(waiting.decision.retryAfterMs, 1_000);
  assert.equal(counts(store).waiting, 0);
  assert.deepEqual(store.snapshot(buckets, startMs)[0]?.remaining, 10);
});

test('a budget that is spent during the wait is refused as spent', () => {
  const { store } = simulate();
  const running = granted(ask(store, buckets, 90).decision);
  const waiting = ask(store, buckets, 60);
  settle(store, running.hold, charge(90, 0), startMs);
  assert(waiting.decision?.type === 'refused' && waiting.decision.reason === 'spent');
});

test('a cancelled request holds nothing, and those behind it are admitted', () => {
  const { store, time } = simulate();
  const running = granted(ask(store, buckets, 90).decision);
  const large = ask(store, buckets, 60);
  const small = ask(store, buckets, 5);
  large.cancel();
  assert.equal(typeOf(small), 'granted');
  large.cancel();
  settle(store, running.hold, charge(0, 0), startMs);
  assert.equal(typeOf(large), undefined);
  assert.equal(store.top(1, startMs)[0]?.held, 5);
  assert.equal(time.pending, 0);
});

test('a new window admits waiting requests', () => {
  for (const window of [minute, slidingMinute]) {
    const { store, time } = simulate();
    const of = [bucket(quota('TotalTokens', 100, { window, queueTimeoutMs: 120_000 }))];
    const first = granted(ask(store, of, 50).decision);
    settle(store, first.hold, charge(50, 0), startMs);
    granted(ask(store, of, 40).decision);
    const waiting = ask(store, of, 30);
    time.pass(59_000);
    assert.equal(typeOf(waiting), undefined);
    time.pass(3_000);
    assert.equal(typeOf(waiting), 'granted', window.type);
    assert.equal(time.pending, 0);
  }
});

test('a request that moves to the queue of another bucket keeps its order of arrival', () => {
  const { store } = simulate();
  const [a, b] = [bucket(patient, 'a'), bucket(patient, 'b')];
  const holdsA = granted(ask(store, [a], 100).decision);
  const holdsB = granted(ask(store, [b], 100).decision);
  const both = ask(store, [a, b], 60);
  const later = ask(store, [b], 60);
  settle(store, holdsA.hold, charge(0, 0), startMs);
  assert.equal(typeOf(both), undefined);
  settle(store, holdsB.hold, charge(0, 0), startMs);
  assert.equal(typeOf(both), 'granted');
  assert.equal(typeOf(later), undefined);
});

test('queues are bounded', () => {
  const { store } = simulate({ maxWaitingPerBucket: 3, maxWaiting: 4 });
  const [a, b] = [bucket(patient, 'a'), bucket(patient, 'b')];
  granted(ask(store, [a], 100).decision);
  granted(ask(store, [b], 100).decision);
  const reasons = [a, a, a, a, b, b].map((of) => {
    const { decision } = ask(store, [of], 50);
    return decision?.type === 'refused' ? decision.reason : 'waits';
  });
  assert.deepEqual(reasons, ['waits', 'waits', 'waits', 'held', 'waits', 'held']);
});

test('a session that throws or re-enters in its callback harms no other', () => {
  const errors: unknown[] = [];
  const { store } = simulate({ onError: (error) => errors.push(error) });
  const running = granted(ask(store, buckets, 100).decision);
  store.reserve(demand(buckets, startMs, 10), () => {
    throw new Error('broken');
  });
  const order: string[] = [];
  store.reserve(demand(buckets, startMs, 90), (decision) => {
    order.push('first');
    settle(store, granted(decision).hold, charge(0, 0), startMs);
    store.reserve(demand(buckets, startMs, 50), () => order.push('from within'));
  });
  store.reserve(demand(buckets, startMs, 30), () => order.push('second'));
  assert.deepEqual(settle(store, running.hold, charge(0, 0), startMs), []);
  assert.deepEqual(order, ['first', 'second', 'from within']);
  assert.equal(String(errors), 'Error: broken');
});

test('a thousand waiters cost one or two checks each', () => {
  const limit = 1_000;
  const { store } = simulate();
  const of = [bucket(quota('TotalTokens', limit, { queueTimeoutMs: 5_000 }))];
  const open = Array.from({ length: limit }, () => granted(ask(store, of, 1).decision).hold);
  const waiting = Array.from({ length: limit }, () => ask(store, of, 1));
  let rolls = 0;
  const inner = store.table.buckets.get(of[0]!.key)!;
  const { roll } = inner;
  inner.roll = (atMs) => {
    rolls++;
    roll.call(inner, atMs);
  };
  for (const hold of open) {
    settle(store, hold, charge(0, 0), startMs);
  }
  assert(waiting.every(({ decision }) => decision?.type === 'granted'));
  assert(rolls <= 4 * limit, `${rolls} checks`);
});
