import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MemoryStore } from './memory.ts';
import {
  bound,
  bucket,
  charge,
  demand,
  granted,
  lease,
  minute,
  noOutput,
  quota,
  simulate,
  slidingMinute,
  startMs,
} from './simulation.ts';
import type { BucketRef, Decision, Hold, OutputDemand } from './store.ts';

const patient = quota('TotalTokens', 100, { queueTimeoutMs: 5_000 });
const buckets = [bucket(patient)];

interface Asked {
  decision: Decision | undefined;
  cancel: () => void;
}

/** A request whose answer may come later. */
function ask(
  store: MemoryStore,
  of: readonly BucketRef[],
  inputTokens: number,
  output: OutputDemand = noOutput,
): Asked {
  const asked: Asked = { decision: undefined, cancel: () => {} };
  asked.cancel = store.reserve(demand(of, startMs, inputTokens, output), (decision) => {
    assert.equal(asked.decision, undefined, 'answered twice');
    asked.decision = decision;
  });
  return asked;
}

function typeOf({ decision }: Asked): Decision['type'] | undefined {
  return decision?.type;
}

function more(store: MemoryStore, hold: Hold, output: OutputDemand) {
  const asked: { tokens: number | undefined; cancel: () => void } = { tokens: undefined, cancel: () => {} };
  asked.cancel = store.extend(hold, output, startMs, (tokens) => {
    assert.equal(asked.tokens, undefined, 'answered twice');
    asked.tokens = tokens;
  });
  return asked;
}

test('who is stopped by holds only waits, first in, first out, and nobody passes', () => {
  const { store, time } = simulate();
  const running = granted(ask(store, buckets, 90).decision);
  const large = ask(store, buckets, 60);
  const small = ask(store, buckets, 5);
  const other = ask(store, [bucket(patient, 'other team')], 5);
  assert.deepEqual([large.decision, small.decision, other.decision?.type], [undefined, undefined, 'granted']);
  assert.equal(store.counts().waiting, 2);
  store.settle(running.hold, charge(10, 0), startMs);
  assert.equal(typeOf(large), 'granted');
  assert.equal(typeOf(small), 'granted');
  assert.equal(time.pending, 0);
});

test('waiting ends with the time of the quota, refused as held; a wait of no time is a refusal', () => {
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
  assert.equal(store.counts().waiting, 0);
  assert.deepEqual(store.view(buckets, startMs)[0]?.remaining, 10);
});

test('what was spent in the meantime is refused as spent', () => {
  const { store } = simulate();
  const running = granted(ask(store, buckets, 90).decision);
  const waiting = ask(store, buckets, 60);
  store.settle(running.hold, charge(90, 0), startMs);
  assert(waiting.decision?.type === 'refused' && waiting.decision.reason === 'spent');
});

test('a request that was taken back holds nothing, and those behind it go on', () => {
  const { store, time } = simulate();
  const running = granted(ask(store, buckets, 90).decision);
  const large = ask(store, buckets, 60);
  const small = ask(store, buckets, 5);
  large.cancel();
  assert.equal(typeOf(small), 'granted');
  large.cancel();
  store.settle(running.hold, charge(0, 0), startMs);
  assert.equal(typeOf(large), undefined);
  assert.equal(store.top(1, startMs)[0]?.held, 5);
  assert.equal(time.pending, 0);
});

test('extensions stand before admissions', () => {
  const { store } = simulate();
  const stream = granted(ask(store, buckets, 0, lease(10)).decision);
  const whole = granted(ask(store, buckets, 0, bound(90)).decision);
  const admission = ask(store, buckets, 20);
  const extension = more(store, stream.hold, lease(10, 10));
  assert.throws(() => more(store, stream.hold, lease(10, 10)), /being extended already/);
  assert.deepEqual([admission.decision, extension.tokens], [undefined, undefined]);
  store.settle(whole.hold, charge(0, 75), startMs);
  assert.deepEqual([admission.decision, extension.tokens], [undefined, 10]);
  store.settle(stream.hold, charge(0, 0), startMs);
  assert.equal(typeOf(admission), 'granted');
});

test('an extension that waits ends with its time, or with its hold', () => {
  const { store, time } = simulate();
  const one = granted(ask(store, buckets, 0, lease(10)).decision);
  const two = granted(ask(store, buckets, 0, lease(10)).decision);
  const whole = granted(ask(store, buckets, 0, bound(80)).decision);
  const first = more(store, one.hold, lease(10));
  const second = more(store, two.hold, lease(10));
  store.settle(two.hold, charge(0, 10), startMs);
  time.pass(5_000);
  assert.deepEqual([first.tokens, second.tokens], [0, undefined]);
  assert.equal(time.pending, 0);
  const again = more(store, one.hold, lease(10));
  again.cancel();
  store.settle(whole.hold, charge(0, 0), startMs);
  assert.equal(again.tokens, undefined);
  assert.equal(more(store, one.hold, lease(7)).tokens, 7);
});

test('streams that all wait for each other do not wait in vain', () => {
  const { store, time } = simulate();
  const one = granted(ask(store, buckets, 0, bound(60)).decision);
  const two = granted(ask(store, buckets, 0, bound(40)).decision);
  const first = more(store, one.hold, lease(10));
  assert.equal(first.tokens, undefined);
  const second = more(store, two.hold, lease(10));
  assert.equal(second.tokens, 0);
  store.settle(two.hold, charge(0, 35), startMs);
  assert.equal(first.tokens, 2);
  // One that ends without giving anything back leaves the last one alone: it has to end, too.
  const third = granted(ask(store, buckets, 0, bound(3)).decision);
  const last = more(store, one.hold, lease(10));
  assert.equal(last.tokens, undefined);
  store.settle(third.hold, charge(0, 3), startMs);
  assert.equal(last.tokens, 0);
  assert.equal(time.pending, 0);
});

test('of several that wait for each other the last one ends, and the first gets what it gives back', () => {
  const { store } = simulate();
  const [one, two, third] = [40, 40, 20].map((tokens) => granted(ask(store, buckets, 0, bound(tokens)).decision).hold);
  const first = more(store, one!, lease(10));
  const last = more(store, two!, lease(10));
  store.settle(third!, charge(0, 20), startMs);
  assert.deepEqual([first.tokens, last.tokens], [undefined, 0]);
  store.settle(two!, charge(0, 30), startMs);
  assert.equal(first.tokens, 5);
});

test('an extension does not wait where the holds of others are not enough', () => {
  const { store } = simulate();
  const stream = granted(ask(store, buckets, 0, bound(60)).decision);
  const other = granted(ask(store, buckets, 0, bound(5)).decision);
  store.settle(granted(ask(store, buckets, 35).decision).hold, charge(35, 0), startMs);
  assert.equal(more(store, stream.hold, lease(10, 10)).tokens, 0);
  const enough = more(store, stream.hold, lease(10, 5));
  assert.equal(enough.tokens, undefined);
  store.settle(other.hold, charge(0, 0), startMs);
  assert.equal(enough.tokens, 5);
});

test('a new window lets those in line go on', () => {
  for (const window of [minute, slidingMinute]) {
    const { store, time } = simulate();
    const of = [bucket(quota('TotalTokens', 100, { window, queueTimeoutMs: 120_000 }))];
    const first = granted(ask(store, of, 50).decision);
    store.settle(first.hold, charge(50, 0), startMs);
    granted(ask(store, of, 40).decision);
    const waiting = ask(store, of, 30);
    time.pass(59_000);
    assert.equal(typeOf(waiting), undefined);
    time.pass(3_000);
    assert.equal(typeOf(waiting), 'granted', window.type);
    assert.equal(time.pending, 0);
  }
});

test('who waits for another bucket in the end keeps the place by arrival', () => {
  const { store } = simulate();
  const [a, b] = [bucket(patient, 'a'), bucket(patient, 'b')];
  const holdsA = granted(ask(store, [a], 100).decision);
  const holdsB = granted(ask(store, [b], 100).decision);
  const both = ask(store, [a, b], 60);
  const later = ask(store, [b], 60);
  store.settle(holdsA.hold, charge(0, 0), startMs);
  assert.equal(typeOf(both), undefined);
  store.settle(holdsB.hold, charge(0, 0), startMs);
  assert.equal(typeOf(both), 'granted');
  assert.equal(typeOf(later), undefined);
});

test('lines are bounded', () => {
  const { store } = simulate({ maxWaitingInLine: 3, maxWaiting: 4 });
  const [a, b] = [bucket(patient, 'a'), bucket(patient, 'b')];
  granted(ask(store, [a], 100).decision);
  granted(ask(store, [b], 100).decision);
  const reasons = [a, a, a, a, b, b].map((of) => {
    const { decision } = ask(store, [of], 50);
    return decision?.type === 'refused' ? decision.reason : 'waits';
  });
  assert.deepEqual(reasons, ['waits', 'waits', 'waits', 'held', 'waits', 'held']);
});

test('a session that throws, or calls from within its answer, harms no other', () => {
  const errors: unknown[] = [];
  const { store } = simulate({ onError: (error) => errors.push(error) });
  const running = granted(ask(store, buckets, 100).decision);
  store.reserve(demand(buckets, startMs, 10), () => {
    throw new Error('broken');
  });
  const order: string[] = [];
  store.reserve(demand(buckets, startMs, 90), (decision) => {
    order.push('first');
    store.settle(granted(decision).hold, charge(0, 0), startMs);
    store.reserve(demand(buckets, startMs, 50), () => order.push('from within'));
  });
  store.reserve(demand(buckets, startMs, 30), () => order.push('second'));
  assert.deepEqual(store.settle(running.hold, charge(0, 0), startMs), []);
  assert.deepEqual(order, ['first', 'second', 'from within']);
  assert.equal(String(errors), 'Error: broken');
});

test('a thousand in line cost a look or two each', () => {
  const limit = 1_000;
  const { store } = simulate();
  const of = [bucket(quota('TotalTokens', limit, { queueTimeoutMs: 5_000 }))];
  const open = Array.from({ length: limit }, () => granted(ask(store, of, 1).decision).hold);
  const waiting = Array.from({ length: limit }, () => ask(store, of, 1));
  let rolls = 0;
  const inner = store.directory.buckets.get(of[0]!.key)!;
  const { roll } = inner;
  inner.roll = (atMs) => {
    rolls++;
    roll.call(inner, atMs);
  };
  for (const hold of open) {
    store.settle(hold, charge(0, 0), startMs);
  }
  assert(waiting.every(({ decision }) => decision?.type === 'granted'));
  assert(rolls <= 4 * limit, `${rolls} looks`);
});
