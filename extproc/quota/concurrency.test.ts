import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import { openQuotaStore } from './open.ts';
import type { Cancel, Decision, Hold } from './store.ts';
import { bucket, charge, define, demand, granted, quota, reserve, settle, simulate, startMs } from './testing.ts';

const parallel = (amount: number, queueTimeoutMs = 0) =>
  quota('ConcurrentRequests', amount, { window: { type: 'None' }, queueTimeoutMs });

test('at most the limit runs at once, and every request that waits long enough runs in order', () => {
  const step = fc.oneof(
    fc.record({ type: fc.constant('arrive' as const), charged: fc.constantFrom('usage', 'everything', 'nothing') }),
    fc.record({ type: fc.constant('end' as const), nth: fc.nat(20) }),
    fc.record({ type: fc.constant('leave' as const), nth: fc.nat(20) }),
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.array(step, { maxLength: 60 }), (limit, steps) => {
      const { store } = simulate();
      const ref = bucket(parallel(limit, 60_000));
      const running: { readonly hold: Hold; readonly charged: string }[] = [];
      const waiting: { readonly arrival: number; readonly cancel: Cancel }[] = [];
      let arrivals = 0;
      let newest = 0;
      for (const each of steps) {
        if (each.type === 'arrive') {
          const arrival = ++arrivals;
          const cancel = store.reserve(demand([ref], startMs, 500), (decision) => {
            const { hold } = granted(decision);
            assert(arrival > newest, `${arrival} runs after ${newest}`);
            newest = arrival;
            running.push({ hold, charged: each.charged });
            const place = waiting.findIndex((one) => one.arrival === arrival);
            if (place !== -1) {
              waiting.splice(place, 1);
            }
          });
          if (newest < arrival) {
            waiting.push({ arrival, cancel });
          }
        } else if (each.type === 'end' && running.length > 0) {
          const [{ hold, charged }] = running.splice(each.nth % running.length, 1) as [(typeof running)[number]];
          const cost = charged === 'usage' ? charge(500, 9) : (charged as 'everything' | 'nothing');
          assert.deepEqual(settle(store, hold, cost, startMs), []);
        } else if (each.type === 'leave' && waiting.length > 0) {
          waiting.splice(each.nth % waiting.length, 1)[0]!.cancel();
        }
        const [{ spent, held } = { spent: 0, held: 0 }] = store.top(1, startMs);
        assert.deepEqual([spent, held], [0, running.length]);
        assert(held <= limit && (waiting.length === 0 || held === limit), `${held} run, ${waiting.length} wait`);
      }
      store.close();
    }),
    fuzzRuns(300),
  );
});

test('a request that waits in vain is refused with a short retry', () => {
  const { store, time } = simulate();
  const ref = bucket(parallel(1, 2_000));
  granted(reserve(store, demand([ref], startMs, 1)));
  const told: Decision[] = [];
  store.reserve(demand([ref], startMs, 1), (decision) => told.push(decision));
  time.pass(1_999);
  assert.equal(told.length, 0);
  time.pass(1);
  assert.deepEqual(
    told.map((decision) => decision.type === 'refused' && [decision.reason, decision.retryAfterMs]),
    [['held', 1_000]],
  );
});

test('a lower limit lets running requests end and admits none until fewer run', () => {
  const { store } = simulate();
  define(store, [parallel(3)], startMs);
  const holds = [1, 2, 3].map(() => granted(reserve(store, demand([bucket(parallel(3))], startMs, 1))).hold);
  define(store, [parallel(2)], startMs);
  const ask = () => reserve(store, demand([bucket(parallel(2))], startMs, 1))?.type;
  settle(store, holds[0]!, 'everything', startMs);
  assert.equal(ask(), 'refused');
  settle(store, holds[1]!, 'everything', startMs);
  assert.equal(ask(), 'granted');
});

test('requests that ran when the process ended do not count after a restart', () => {
  const folder = mkdtempSync(join(tmpdir(), 'concurrency-'));
  try {
    const of = [bucket(parallel(2)), bucket(quota('TotalTokens', 1_000))];
    const open = () => openQuotaStore({ path: join(folder, 'quota.sqlite'), nowMs: () => startMs }).store;
    const first = open();
    granted(reserve(first, demand(of, startMs, 100)));
    granted(reserve(first, demand(of, startMs, 100)));
    assert.equal(reserve(first, demand(of, startMs, 100))?.type, 'refused');
    first.flush();
    first.close();
    const second = open();
    assert.deepEqual(
      second.snapshot(of, startMs).map(({ remaining }) => remaining),
      [2, 800],
    );
    second.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
});
