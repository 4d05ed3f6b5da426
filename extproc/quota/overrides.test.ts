import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Quota } from '../../contract/policy.ts';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import type { Hold } from './store.ts';
import {
  bucket,
  charge,
  define,
  demand,
  granted,
  lease,
  quota,
  reserve,
  settle,
  simulate,
  startMs,
} from './testing.ts';

const overridden = (amounts: Readonly<Record<string, number>>, more: Partial<Quota> = {}): Quota => ({
  ...quota('TotalTokens', 100, more),
  overrides: Object.entries(amounts).map(([team, amount]) => ({ when: `headers["x-team"] == "${team}"`, amount })),
});

test('the first override that matches the key replaces the amount, before and after the first request', () => {
  const { store } = simulate();
  const of = {
    ...overridden({ a: 500, b: 20 }),
    overrides: [...overridden({ a: 500, b: 20 }).overrides!, { when: 'true', amount: 7 }],
  };
  const buckets = ['a', 'b', 'c'].map((team) => bucket(of, team));
  const limits = () => store.snapshot(buckets, startMs).map(({ limit }) => limit);
  assert.deepEqual(limits(), [500, 20, 7]);
  assert.equal(reserve(store, demand([buckets[0]!], startMs, 500))?.type, 'granted');
  assert.equal(reserve(store, demand([buckets[1]!], startMs, 21))?.type, 'refused');
  assert.deepEqual(limits(), [500, 20, 7]);
});

test('the bucket of requests without a key has the amount of the limit', () => {
  const { store } = simulate();
  const of = { ...overridden({}), overrides: [{ when: 'true', amount: 7 }] };
  assert.equal(store.snapshot([{ quota: of, key: 'shared', values: [] }], startMs)[0]?.limit, 100);
});

test('spent and held never pass the amount of a key, whatever policy a request was planned under', () => {
  const amounts = fc.dictionary(fc.constantFrom('a', 'b'), fc.nat(300));
  const step = fc.record({
    defines: fc.option(amounts, { nil: undefined }),
    plannedUnder: fc.nat(10),
    team: fc.constantFrom('a', 'b', 'c'),
    inputTokens: fc.nat(60),
    settles: fc.boolean(),
  });
  fc.assert(
    fc.property(amounts, fc.array(step, { maxLength: 40 }), (first, steps) => {
      const { store } = simulate();
      const policies = [overridden(first)];
      const open: Hold[] = [];
      define(store, policies, startMs);
      for (const { defines, plannedUnder, team, inputTokens, settles } of steps) {
        if (defines !== undefined) {
          policies.push(overridden(defines));
          define(store, [policies.at(-1)!], startMs);
        }
        const before = bucket(policies[plannedUnder % policies.length]!, team);
        const newest = policies.at(-1)!.overrides!.find(({ when }) => when.includes(`"${team}"`))?.amount ?? 100;
        const decision = reserve(store, demand([before], startMs, inputTokens, lease(10)));
        if (decision?.type === 'granted') {
          const { snapshots } = decision;
          assert.equal(snapshots[0]?.limit, newest);
          const state = store.top(9, startMs).find((one) => one.bucket.key === before.key)!;
          assert(state.spent + state.held <= newest, `${state.spent} + ${state.held} of ${newest}`);
          open.push(granted(decision).hold);
        }
        if (settles && open.length > 0) {
          settle(store, open.shift()!, charge(0, 0), startMs);
        }
      }
    }),
    fuzzRuns(300),
  );
});
