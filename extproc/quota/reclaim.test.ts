import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MemoryStore } from './memory.ts';
import type { BucketRef, CountingWork, Hold, Holder } from './store.ts';
import {
  bound,
  bucket,
  charge,
  counts,
  demand,
  extend,
  granted,
  lease,
  lifetime,
  quota,
  reserve,
  settle,
  simulate,
  startMs,
} from './testing.ts';

const buckets = [bucket(quota('TotalTokens', 100, { window: lifetime, queueTimeoutMs: 5_000 }))];

/** A stream that has used a part of its lease. */
class Stream implements Holder {
  readonly hold: Hold;
  leased: number;
  used = 0;
  asked = 0;
  counted: number | undefined;

  constructor(store: MemoryStore, of: readonly BucketRef[], want: number, usual: number, inputTokens = 0) {
    const output = { ...lease(want), usual };
    const { hold, outputTokens } = granted(reserve(store, demand(of, startMs, inputTokens, output)));
    this.hold = hold;
    this.leased = outputTokens;
    hold.holder = this;
  }

  unused(kept: number, work: CountingWork): number {
    this.asked++;
    work.bytes--;
    return Math.max(0, this.leased - Math.max(kept, this.used));
  }

  giveBack(tokens: number): void {
    this.leased -= tokens;
  }

  countedInput(): number | undefined {
    return this.counted;
  }
}

test('no stream is cut while others hold unused tokens; what they probably do not need is taken first', () => {
  const { store } = simulate();
  const one = new Stream(store, buckets, 40, 10);
  const two = new Stream(store, buckets, 20, 20);
  const three = new Stream(store, buckets, 25, 25);
  granted(reserve(store, demand(buckets, startMs, 0, bound(15))));
  assert.deepEqual([one.leased, two.leased, three.leased], [40, 20, 25]);
  [one.used, two.used, three.used] = [5, 20, 10];
  assert.equal(extend(store, two.hold, lease(64, 8), startMs), 8);
  assert.deepEqual(
    [one.leased, three.leased],
    [10, 25],
    'everything that the first stream probably does not need is free',
  );
  assert.equal(extend(store, two.hold, lease(64, 25), startMs), 25);
  assert.deepEqual([one.leased, three.leased], [10, 10]);
  assert.equal(store.snapshot(buckets, startMs)[0]?.remaining, 100 - 15 - 10 - 53 - 10);
});

test('takes nothing back where that is not enough, and the stream gets the free rest', () => {
  const { store } = simulate();
  const one = new Stream(store, buckets, 25, 25);
  const two = new Stream(store, buckets, 25, 25);
  granted(reserve(store, demand(buckets, startMs, 0, bound(47))));
  [one.used, two.used] = [15, 25];
  assert.equal(extend(store, two.hold, lease(64, 14), startMs), 3);
  assert.equal(one.leased, 25);
  settle(store, two.hold, charge(0, 28), startMs);
  assert.equal(store.snapshot(buckets, startMs)[0]?.remaining, 0);
});

test('an extension never waits for what cannot be taken back', () => {
  const { store, time } = simulate();
  const stream = new Stream(store, buckets, 10, 10);
  granted(reserve(store, demand(buckets, startMs, 0, bound(90))));
  stream.used = 10;
  assert.equal(extend(store, stream.hold, lease(10), startMs), 0);
  assert.equal(time.pending, 0);
});

test('a new stream gets the usual length, from what others probably do not need, or waits', () => {
  const { store } = simulate();
  const one = new Stream(store, buckets, 80, 20);
  const [two, three] = [new Stream(store, buckets, 80, 20), new Stream(store, buckets, 80, 20)];
  assert.deepEqual([one.leased, two.leased, three.leased], [50, 20, 20]);
  const four = new Stream(store, buckets, 80, 20);
  const five = new Stream(store, buckets, 80, 20);
  assert.deepEqual([one.leased, four.leased, five.leased], [20, 20, 20]);
  assert.equal(reserve(store, demand(buckets, startMs, 0, { ...lease(80), usual: 20 })), undefined);
  assert.equal(counts(store).waiting, 1);
  settle(store, one.hold, charge(0, 0), startMs);
  assert.equal(counts(store).waiting, 0);
});

test('a new stream gets at most a quarter of what is left', () => {
  const { store } = simulate();
  settle(store, granted(reserve(store, demand(buckets, startMs, 60))).hold, charge(60, 0), startMs);
  const streams = [1, 2, 3, 4].map(() => new Stream(store, buckets, 80, 30));
  assert.deepEqual(
    streams.map(({ leased }) => leased),
    [10, 10, 10, 10],
  );
});

test('a request that would overtake others takes nothing back', () => {
  const { store } = simulate();
  const one = new Stream(store, buckets, 80, 20);
  granted(reserve(store, demand(buckets, startMs, 0, bound(50))));
  one.used = 50;
  assert.equal(reserve(store, demand(buckets, startMs, 60)), undefined);
  one.used = 0;
  const { asked } = one;
  assert.equal(reserve(store, demand(buckets, startMs, 10)), undefined);
  assert.deepEqual([one.asked, one.leased], [asked, 50]);
});

test('takes back in all buckets from which the stream draws output', () => {
  const { store } = simulate();
  const output = bucket(quota('OutputTokens', 50, { window: lifetime }));
  const input = bucket(quota('InputTokens', 50, { window: lifetime }));
  const one = new Stream(store, [...buckets, output, input], 40, 20, 5);
  const two = new Stream(store, [...buckets, output], 10, 10);
  [one.used, two.used] = [1, 10];
  const more = extend(store, two.hold, lease(64, 25), startMs);
  assert.equal(more, 25);
  const remaining = store.snapshot([...buckets, output, input], startMs).map((snapshot) => snapshot.remaining);
  assert.deepEqual(remaining, [100 - 5 - one.leased - 35, 50 - one.leased - 35, 45]);
});

test('an ended stream is not asked', () => {
  const { store } = simulate();
  const streams = Array.from({ length: 10 }, () => new Stream(store, buckets, 10, 10));
  for (const nth of [3, 9, 0, 5]) {
    settle(store, streams[nth]!.hold, charge(0, 10), startMs);
    streams[nth]!.asked = -1;
  }
  streams[1]!.used = 10;
  assert.equal(extend(store, streams[1]!.hold, lease(64, 50), startMs), 50);
  assert.deepEqual(
    streams.map(({ asked }) => asked >= 0),
    [false, true, true, false, true, false, true, true, true, false],
  );
});

test('input that is held by its bytes is counted before the stream is cut', () => {
  const { store } = simulate();
  const one = new Stream(store, buckets, 10, 10, 40);
  granted(reserve(store, demand(buckets, startMs, 0, bound(50))));
  one.used = 10;
  one.counted = 12;
  assert.equal(extend(store, one.hold, lease(64, 20), startMs), 20);
  assert.equal(store.snapshot(buckets, startMs)[0]?.remaining, 8);
  one.used = 30;
  assert.equal(extend(store, one.hold, lease(64, 20), startMs), 8, 'once');
  assert.deepEqual(settle(store, one.hold, charge(12, 38), startMs), []);
  assert.equal(store.snapshot(buckets, startMs)[0]?.remaining, 0);
});
