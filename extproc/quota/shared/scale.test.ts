/**
 * How many exchanges a replica makes, by its traffic: the arithmetic of the plan for many replicas
 * and keys in docs/guides/shared-store.md.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newRandom, type Random } from '../../../tools/fuzz/random.ts';
import { MemoryStore } from '../memory.ts';
import { memoryDefaults } from '../memory-options.ts';
import { bound, bucket, demand, hour, quota, SimulatedTime } from '../testing.ts';
import { MemoryAllowances } from './memory-allowances.ts';
import { SharedQuotaStore } from './shared-quota-store.ts';

const INPUT_TOKENS = 100;
const OUTPUT_TOKENS = 400;
const HELD_OUTPUT_TOKENS = 500;
const REQUEST_TOKENS = INPUT_TOKENS + OUTPUT_TOKENS;
const REQUEST_MS = 1_000;
const ROUND_TRIP_MS = 1;
/** Allowances follow the traffic after this time. */
const STARTING_SECONDS = 5;

interface Scale {
  readonly replicas: number;
  /** Of one key at one replica. */
  readonly requestsPerSecond: number;
  readonly limit: number;
  readonly seconds: number;
}

interface ScaleResult {
  readonly requests: number;
  readonly spent: number;
  readonly exchanges: number;
  /** Those after the first seconds. */
  readonly steady: number;
  /** Exchanges of one replica in the busiest second. */
  readonly mostInASecond: number;
  readonly mostOfAllInASecond: number;
}

/** Lets replicas spend the budget of one key. */
function run({ replicas, requestsPerSecond, limit, seconds }: Scale, random: Random): ScaleResult {
  const time = new SimulatedTime();
  const allowances = new MemoryAllowances(() => time.nowMs);
  const of = quota('TotalTokens', limit, { window: hour, queueTimeoutMs: 0 });
  const counts = { requests: 0, spent: 0, exchanges: 0, steady: 0, mostInASecond: 0, mostOfAllInASecond: 0 };
  const bySecond = new Map<string, number>();
  const count = (second: string) => {
    const inSecond = (bySecond.get(second) ?? 0) + 1;
    bySecond.set(second, inSecond);
    return inSecond;
  };
  let ids = 0;
  const fromMs = time.nowMs;
  for (let replica = 0; replica < replicas; replica++) {
    const options = {
      ...memoryDefaults,
      nowMs: () => time.nowMs,
      steadyMs: () => time.nowMs,
      newId: () => `allowance-${++ids}`,
      schedule: time.schedule,
      onStoreState: () => {},
    };
    const store = new SharedQuotaStore(options, new MemoryStore(options, undefined));
    store.useAllowances({
      exchange: (request, done) => {
        counts.exchanges++;
        counts.steady += time.nowMs >= fromMs + STARTING_SECONDS * 1_000 ? 1 : 0;
        const second = Math.floor((time.nowMs - fromMs) / 1_000);
        counts.mostInASecond = Math.max(counts.mostInASecond, count(`${replica}/${second}`));
        counts.mostOfAllInASecond = Math.max(counts.mostOfAllInASecond, count(`${second}`));
        time.schedule(ROUND_TRIP_MS, () => allowances.exchange(request, done));
      },
    });
    store.define([of], { epoch: 1, counter: 1 }, time.nowMs);
    const next = () => {
      const waitMs = (-Math.log(1 - random.next()) * 1_000) / requestsPerSecond;
      time.schedule(waitMs, () => {
        if (time.nowMs < fromMs + seconds * 1_000) {
          ask();
          next();
        }
      });
    };
    const ask = () => {
      counts.requests++;
      store.reserve(demand([bucket(of)], time.nowMs, INPUT_TOKENS, bound(HELD_OUTPUT_TOKENS)), (decision) => {
        if (decision.type === 'granted') {
          const tokens = INPUT_TOKENS + Math.min(OUTPUT_TOKENS, decision.outputTokens);
          counts.spent += tokens;
          const spent = { amounts: [tokens], cause: 'in_flight' } as const;
          const settle = () => store.settle(decision.hold, spent, time.nowMs, () => {});
          time.schedule(REQUEST_MS, settle);
        }
      });
    };
    next();
  }
  time.pass((seconds + 30) * 1_000);
  return counts;
}

const AMPLE = 1e12;

test('a key that is used seldom costs at most five exchanges a request', (t) => {
  for (const requestsPerSecond of [0.01, 0.1]) {
    const seconds = 500 / requestsPerSecond;
    const { requests, exchanges } = run({ replicas: 1, requestsPerSecond, limit: AMPLE, seconds }, newRandom(1));
    t.diagnostic(`${requestsPerSecond} requests/s: ${(exchanges / requests).toFixed(2)} exchanges a request`);
    assert.ok(exchanges / requests <= 5);
  }
});

test('a key that is used often costs a constant number of exchanges a second', (t) => {
  for (const requestsPerSecond of [1, 10, 100, 1_000]) {
    const seconds = requestsPerSecond > 100 ? 20 : 100;
    const { steady, mostInASecond } = run({ replicas: 1, requestsPerSecond, limit: AMPLE, seconds }, newRandom(2));
    const perSecond = steady / (seconds - STARTING_SECONDS);
    t.diagnostic(`${requestsPerSecond} requests/s: ${perSecond.toFixed(2)} exchanges/s, at most ${mostInASecond}`);
    assert.ok(perSecond <= 4);
  }
});

test('replicas do not ask more often because they are many', (t) => {
  for (const replicas of [1, 10, 50]) {
    const seconds = 15;
    const { exchanges } = run({ replicas, requestsPerSecond: 10, limit: AMPLE, seconds }, newRandom(3));
    t.diagnostic(`${replicas} replicas: ${(exchanges / seconds / replicas).toFixed(2)} exchanges/s of each`);
    assert.ok(exchanges / seconds / replicas <= 4);
  }
});

test('at the end of a budget, a replica asks at most 50 times in a second, and uses all of it', (t) => {
  for (const replicas of [1, 10, 50]) {
    const seconds = 20;
    const limit = replicas * 10 * 10 * REQUEST_TOKENS;
    const result = run({ replicas, requestsPerSecond: 10, limit, seconds }, newRandom(4));
    const { exchanges, mostInASecond, spent } = result;
    const used = spent / limit;
    t.diagnostic(
      `${replicas} replicas: ${(exchanges / seconds / replicas).toFixed(2)} exchanges/s of each, at most ${mostInASecond} in a second, ${(used * 100).toFixed(2)} % used`,
    );
    assert.ok(mostInASecond <= 50);
    assert.ok(used > 0.98 && used <= 1);
  }
});

test('at the end of a budget, many replicas together ask at most 2,000 times a second', (t) => {
  const replicas = 150;
  const limit = replicas * 2 * REQUEST_TOKENS;
  const { mostOfAllInASecond, spent } = run({ replicas, requestsPerSecond: 2, limit, seconds: 5 }, newRandom(5));
  t.diagnostic(`at most ${mostOfAllInASecond} exchanges in a second, ${((spent / limit) * 100).toFixed(2)} % used`);
  assert.ok(mostOfAllInASecond <= 2_000);
  assert.ok(spent / limit > 0.98 && spent <= limit);
});
