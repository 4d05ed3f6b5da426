import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Quota } from '../../contract/policy.ts';
import type { Decision, Hold, OutputDemand } from './store.ts';
import {
  bound,
  bucket,
  charge,
  counts,
  define,
  demand,
  extend,
  granted,
  lease,
  lifetime,
  minute,
  noOutput,
  quota,
  reserve,
  settle,
  settleUnits,
  simulate,
  slidingMinute,
  startMs,
} from './testing.ts';
import { drawOn } from './units.ts';

const total = quota('TotalTokens', 1000);
const requests = quota('Requests', 2, { window: minute });

test('draws on all buckets or on none', () => {
  const { store } = simulate();
  const buckets = [bucket(requests), bucket(total)];
  assert.equal(reserve(store, demand(buckets, startMs, 1001))?.type, 'refused');
  assert.deepEqual(
    store.snapshot(buckets, startMs).map((snapshot) => snapshot.remaining),
    [2, 1000],
  );
  granted(reserve(store, demand(buckets, startMs, 100, lease(50))));
  assert.deepEqual(
    store.snapshot(buckets, startMs).map((snapshot) => snapshot.remaining),
    [1, 850],
  );
});

test('each limit type counts its own unit', () => {
  const { store } = simulate();
  const types = ['Requests', 'InputTokens', 'OutputTokens', 'TotalTokens'] as const;
  const buckets = types.map((type) => bucket(quota(type, 1000)));
  const { hold } = granted(reserve(store, demand(buckets, startMs, 100, bound(50))));
  const left = () => store.snapshot(buckets, startMs).map((snapshot) => snapshot.remaining);
  assert.deepEqual(left(), [999, 900, 950, 850]);
  assert.deepEqual(settle(store, hold, charge(90, 20), startMs), []);
  assert.deepEqual(left(), [999, 910, 980, 890]);
});

test('a hold can be settled only once', () => {
  const { store } = simulate();
  const { hold } = granted(reserve(store, demand([bucket(total)], startMs, 1)));
  settle(store, hold, charge(1, 0), startMs);
  assert.throws(() => settle(store, hold, charge(1, 0), startMs), /already settled/);
  assert.throws(() => extend(store, hold, lease(1), startMs), /already settled/);
  assert.throws(() => settleUnits(store, { id: 'x' }, 'nothing', startMs), /not from this store/);
  assert.throws(() => reserve(store, demand([bucket(total)], startMs, Number.NaN)), /whole numbers/);
});

test('an impossible charge charges what was held, and no hold stays', () => {
  for (const impossible of [10.5, 1e300, 2 ** 53, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
    const errors: unknown[] = [];
    const { store } = simulate({ onError: (error) => errors.push(error) });
    const { hold } = granted(reserve(store, demand([bucket(total)], startMs, 100, lease(50))));
    assert.deepEqual(settleUnits(store, hold, { amounts: [impossible], cause: 'in_flight' }, startMs), []);
    assert.equal(counts(store).openHolds, 0);
    const [state] = store.top(1, startMs);
    assert.deepEqual([state?.spent, state?.held], [150, 0], String(impossible));
    assert.equal(errors.length, 1);
  }
});

test('an unknown cost charges what is held, including extensions', () => {
  const { store } = simulate();
  const { hold } = granted(reserve(store, demand([bucket(total)], startMs, 100, lease(50))));
  assert.equal(extend(store, hold, lease(20), startMs), 20);
  settle(store, hold, 'everything', startMs);
  const [state] = store.top(1, startMs);
  assert.deepEqual([state?.spent, state?.held], [170, 0]);
});

test('refusals have a reason, a bucket and a time to retry', () => {
  const refused = (decision: Decision | undefined) =>
    decision?.type === 'refused' ? [decision.reason, decision.bucket.quota.id, decision.retryAfterMs] : decision;
  const { store } = simulate();
  assert.deepEqual(refused(reserve(store, demand([bucket(total)], startMs, 1001))), ['size', total.id, undefined]);
  for (let count = 0; count < 2; count++) {
    granted(reserve(store, demand([bucket(requests)], startMs + 1000, 0)));
  }
  assert.deepEqual(refused(reserve(store, demand([bucket(requests)], startMs + 1000, 0))), [
    'spent',
    requests.id,
    59_000,
  ]);
  granted(reserve(store, demand([bucket(requests)], startMs + 60_000, 0)));

  const forever = quota('InputTokens', 10, { window: lifetime });
  settle(store, granted(reserve(store, demand([bucket(forever)], startMs, 6))).hold, charge(6, 0), startMs);
  assert.deepEqual(refused(reserve(store, demand([bucket(forever)], startMs + 1e12, 5))), [
    'spent',
    forever.id,
    undefined,
  ]);

  granted(reserve(store, demand([bucket(total)], startMs, 600)));
  assert.deepEqual(refused(reserve(store, demand([bucket(total)], startMs, 600))), ['held', total.id, 1000]);
});

test('a sliding window frees units as time passes', () => {
  const { store } = simulate();
  const sliding = [bucket(quota('Requests', 2, { window: slidingMinute }))];
  granted(reserve(store, demand(sliding, startMs, 0)));
  granted(reserve(store, demand(sliding, startMs + 30_000, 0)));
  const refusal = reserve(store, demand(sliding, startMs + 59_999, 0));
  assert(refusal?.type === 'refused' && refusal.retryAfterMs !== undefined);
  assert(refusal.retryAfterMs >= 1 && refusal.retryAfterMs <= 1001);
  const later = startMs + 59_999 + refusal.retryAfterMs;
  assert.equal(reserve(store, demand(sliding, later - 1, 0))?.type, 'refused');
  granted(reserve(store, demand(sliding, later, 0)));
  assert.equal(reserve(store, demand(sliding, later, 0))?.type, 'refused');
});

test('bound output holds what is wanted, or what is left', () => {
  const { store } = simulate();
  const first = granted(reserve(store, demand([bucket(total)], startMs, 100, bound(500))));
  assert.equal(first.outputTokens, 500);
  assert.equal(granted(reserve(store, demand([bucket(total)], startMs, 100, bound(500, 200)))).outputTokens, 300);
  assert.equal(reserve(store, demand([bucket(total)], startMs, 0, bound(1)))?.type, 'refused');
});

test('leases shrink near the end of a budget, and streams share what is left', () => {
  const { store } = simulate();
  const buckets = [bucket(quota('OutputTokens', 100))];
  const one = granted(reserve(store, demand(buckets, startMs, 0, lease(1000))));
  const two = granted(reserve(store, demand(buckets, startMs, 0, lease(1000))));
  assert.equal(one.outputTokens, 50);
  assert.equal(two.outputTokens, 12);
  assert.equal(extend(store, one.hold, lease(5), startMs), 5);
  const grants: (number | undefined)[] = [];
  for (let grant = extend(store, one.hold, lease(1000), startMs); grant; ) {
    grants.push(grant);
    grant = extend(store, one.hold, lease(1000), startMs);
  }
  assert.deepEqual(grants.slice(0, 3), [8, 6, 4]);
  assert.equal(grants.at(-1), 1);
  assert.equal(store.snapshot(buckets, startMs)[0]?.remaining, 0);
  assert.equal(extend(store, two.hold, lease(1000), startMs), 0);
});

test('input that is only bounded by bytes is counted first where it matters', () => {
  const { store } = simulate();
  const buckets = [bucket(total)];
  assert.equal(reserve(store, demand(buckets, startMs, 125, noOutput, false))?.type, 'granted');
  assert.equal(reserve(store, demand(buckets, startMs, 125, noOutput, false))?.type, 'count-first');
  assert.equal(reserve(store, demand(buckets, startMs, 5000, noOutput, false))?.type, 'count-first');
  settle(store, granted(reserve(store, demand(buckets, startMs, 875))).hold, charge(1000, 0), startMs);
  const refusal = reserve(store, demand(buckets, startMs, 5000, noOutput, false));
  assert(refusal?.type === 'refused' && refusal.reason === 'spent');
});

test('an overdraft is reported with its cause and paid back by the following windows', () => {
  const { store } = simulate();
  const buckets = [bucket(quota('OutputTokens', 100, { window: minute }))];
  const { hold } = granted(reserve(store, demand(buckets, startMs, 0, bound(60))));
  const overdrafts = settle(store, hold, { inputTokens: 0, outputTokens: 350, cause: 'bound_ignored' }, startMs);
  assert.deepEqual(
    overdrafts.map(({ amount, cause }) => [amount, cause]),
    [[250, 'bound_ignored']],
  );
  const refusal = reserve(store, demand(buckets, startMs, 0, bound(1)));
  assert(refusal?.type === 'refused');
  assert.equal(refusal.retryAfterMs, 3 * 60_000);
  assert.equal(reserve(store, demand(buckets, startMs + 60_000, 0, bound(1)))?.type, 'refused');
  assert.equal(store.top(1, startMs + 60_000)[0]?.overdraft, 150);
  assert.equal(reserve(store, demand(buckets, startMs + 120_000, 0, bound(1)))?.type, 'refused');
  assert.equal(granted(reserve(store, demand(buckets, startMs + 180_000, 0, bound(1000)))).outputTokens, 50);

  const idle = simulate().store;
  const again = granted(reserve(idle, demand(buckets, startMs, 0, bound(60))));
  settle(idle, again.hold, charge(0, 350), startMs);
  assert.equal(granted(reserve(idle, demand(buckets, startMs + 180_000, 0, bound(1000)))).outputTokens, 50);
});

test('a charge within its hold has the cause in_flight, whatever cause it names', () => {
  const { store } = simulate();
  const buckets = [bucket(quota('OutputTokens', 100))];
  const one = granted(reserve(store, demand(buckets, startMs, 0, bound(40))));
  const other = granted(reserve(store, demand(buckets, startMs, 0, bound(40))));
  const overdrafts = (hold: Hold, outputTokens: number) =>
    settle(store, hold, { inputTokens: 0, outputTokens, cause: 'hidden_output' }, startMs).map(({ amount, cause }) => [
      amount,
      cause,
    ]);
  assert.deepEqual(overdrafts(one.hold, 150), [[50, 'hidden_output']]);
  assert.deepEqual(overdrafts(other.hold, 40), [[40, 'in_flight']]);
});

test('a request belongs to the window in which it was admitted', () => {
  const { store } = simulate();
  const buckets = [bucket(quota('OutputTokens', 100, { window: minute }))];
  const { hold } = granted(reserve(store, demand(buckets, startMs, 0, bound(60))));
  const next = startMs + 60_000;
  assert.equal(store.snapshot(buckets, next)[0]?.remaining, 100);
  assert.equal(extend(store, hold, bound(1000), next), 40);
  assert.equal(store.snapshot(buckets, next)[0]?.remaining, 100);
  assert.deepEqual(
    settle(store, hold, charge(0, 130), next).map(({ amount }) => amount),
    [30],
  );
  assert.equal(store.snapshot(buckets, next)[0]?.remaining, 70);
});

test('a clock that is set back a little does not start a new window', () => {
  const { store } = simulate();
  const buckets = [bucket(requests)];
  granted(reserve(store, demand(buckets, startMs, 0)));
  granted(reserve(store, demand(buckets, startMs - 1, 0)));
  assert.equal(reserve(store, demand(buckets, startMs - 1, 0))?.type, 'refused');
});

test('a Shadow quota counts past its limit and refuses nothing', () => {
  const { store } = simulate();
  const shadow = quota('Requests', 1, { mode: 'Shadow' });
  const first = reserve(store, demand([bucket(shadow)], startMs, 0));
  assert(first?.type === 'granted' && first.shadowRefused === undefined);
  const second = reserve(store, demand([bucket(shadow)], startMs, 0));
  assert(second?.type === 'granted');
  assert.deepEqual(second.shadowRefused, [shadow.id]);
  assert.equal(store.top(1, startMs)[0]?.spent, 2);
  const tokens = bucket(quota('TotalTokens', 10, { mode: 'Shadow' }));
  const third = granted(reserve(store, demand([tokens], startMs, 50)));
  assert.deepEqual(settle(store, third.hold, charge(50, 5), startMs), []);
  assert.equal(store.snapshot([tokens], startMs)[0]?.remaining, 0);
  assert.equal(store.top(1, startMs)[0]?.overdraft, 45);
});

test('the newest definition of a quota applies to live buckets, too', () => {
  const { store } = simulate();
  const { hold } = granted(reserve(store, demand([bucket(total)], startMs, 600, lease(10))));
  const lower = quota('TotalTokens', 700);
  define(store, [lower], startMs);
  assert.equal(reserve(store, demand([bucket(lower)], startMs, 200))?.type, 'refused');
  // A session that began before still refers to the old definition.
  assert.equal(reserve(store, demand([bucket(total)], startMs, 200))?.type, 'refused');
  assert.equal(extend(store, hold, bound(1000), startMs), 90);
  settle(store, hold, charge(600, 0), startMs);
  // What was spent survives another calendar unit, but not another kind of window.
  const daily = quota('TotalTokens', 700, { window: { type: 'Calendar', unit: 'Day', timeZone: 'UTC' } });
  define(store, [daily], startMs);
  assert.equal(store.snapshot([bucket(daily)], startMs)[0]?.remaining, 100);
  assert.equal(store.snapshot([bucket(daily)], startMs + 3_600_000)[0]?.remaining, 100);
  const sliding = quota('TotalTokens', 700, { window: slidingMinute });
  define(store, [sliding], startMs);
  assert.equal(store.snapshot([bucket(sliding)], startMs)[0]?.remaining, 700);
  granted(reserve(store, demand([bucket(quota('Requests', 5, { window: slidingMinute }))], startMs, 0)));
  const longer = [bucket(quota('Requests', 5, { window: { type: 'Sliding', durationMs: 600_000 } }))];
  define(store, [longer[0]!.quota], startMs);
  assert.deepEqual(
    [0, 599_000, 620_000].map((ms) => store.snapshot(longer, startMs + ms)[0]?.remaining),
    [4, 4, 5],
  );
});

test('definitions of an older policy never replace those of a newer one', () => {
  const { store } = simulate();
  const limitAfter = (amount: number, epoch: number, counter: number) => {
    const isNew = store.define([quota('TotalTokens', amount)], { epoch, counter }, startMs);
    granted(reserve(store, demand([bucket(total)], startMs, 1)));
    return [isNew, store.snapshot([bucket(total)], startMs)[0]?.limit];
  };
  assert.deepEqual(limitAfter(500, 2, 3), [true, 500]);
  assert.deepEqual(limitAfter(600, 2, 2), [false, 500]);
  assert.deepEqual(limitAfter(600, 1, 9), [false, 500]);
  assert.deepEqual(limitAfter(700, 2, 3), [true, 700]);
  assert.deepEqual(limitAfter(800, 3, 1), [true, 800]);
});

test('live keys are bounded, and empty ones make room', () => {
  const { store } = simulate({ maxBuckets: 10 });
  for (let team = 0; team < 8; team++) {
    granted(reserve(store, demand([bucket(requests, `team-${team}`)], startMs, 0)));
  }
  const refusal = reserve(store, demand([bucket(requests, 'one more')], startMs, 0));
  assert(refusal?.type === 'refused' && refusal.reason === 'keys');
  granted(reserve(store, demand([bucket(requests, 'team-3')], startMs, 0)));
  let refusals = 0;
  for (let team = 0; team < 100; team++) {
    const decision = reserve(store, demand([bucket(requests, `new-${team}`)], startMs + 60_000 * (team + 1), 0));
    refusals += decision?.type === 'refused' ? 1 : 0;
  }
  assert(refusals <= 2, `${refusals}`);
  assert(counts(store).buckets <= 10);
});

test('finds the tightest of many buckets in one scan or in a few', () => {
  for (const [teams, looks] of [
    [100, 1],
    [25_000, 4],
  ] as const) {
    const { store } = simulate();
    for (let team = 0; team < teams; team++) {
      const tokens = 1 + ((team * 7919) % teams) / teams;
      granted(reserve(store, demand([bucket(total, `${team}`)], startMs, Math.floor(tokens * 400))));
    }
    granted(reserve(store, demand([bucket(total, 'tight')], startMs, 1000)));
    granted(reserve(store, demand([bucket(quota('InputTokens', 10), 'tighter')], startMs, 9)));
    let top = store.top(2, startMs);
    for (let look = 1; look < looks; look++) {
      top = store.top(2, startMs);
    }
    assert.deepEqual(
      top.map((state) => [state.bucket.values[0], state.held]),
      [
        ['tight', 1000],
        ['tighter', 9],
      ],
    );
    assert.equal(store.top(1000, startMs).length, Math.min(1000, teams + 2));
  }
});

test('the store counts units: a draw may cost several a token, and grants are whole tokens of what is left', () => {
  const { store } = simulate();
  const of = quota('TotalTokens', 1000, { mode: 'Enforce' });
  const asked = (inputTokens: number, output: OutputDemand) => {
    const plain = demand([bucket(of)], startMs, inputTokens, output);
    return { ...plain, draws: plain.draws.map((draw) => ({ ...draw, fixed: 5, perInputToken: 3, perOutputToken: 7 })) };
  };
  const remaining = () => store.snapshot([bucket(of)], startMs)[0]?.remaining;
  const whole = granted(reserve(store, asked(100, bound(1000))));
  assert.equal(whole.outputTokens, Math.floor((1000 - 305) / 7));
  assert.equal(remaining(), 1000 - 305 - 7 * whole.outputTokens);
  assert.deepEqual(settleUnits(store, whole.hold, { amounts: [312], cause: 'in_flight' }, startMs), []);
  assert.equal(remaining(), 688);
  const stream = granted(reserve(store, asked(10, lease(8, 1))));
  assert.equal(extend(store, stream.hold, bound(1000), startMs), Math.floor((688 - 35 - 7 * 8) / 7));
  stream.hold.holder = { unused: () => 80, giveBack: () => {}, countedInput: () => undefined };
  assert.equal(reserve(store, asked(50, noOutput))?.type, 'granted', 'unused tokens are taken back as units');
});

test('a draw in a unit that the quota no longer counts is left out', () => {
  const { store } = simulate();
  const before = bucket(quota('TotalTokens', 100, { id: 'default/teams/changing' }));
  const after = bucket(quota('Requests', 5, { id: 'default/teams/changing' }));
  define(store, [after.quota], startMs);
  const planned = { ...demand([before], startMs, 90), draws: [{ ...drawOn(before, undefined, 90), bucket: after }] };
  settleUnits(store, granted(reserve(store, planned)).hold, { amounts: [90], cause: 'in_flight' }, startMs);
  assert.equal(store.snapshot([after], startMs)[0]?.remaining, 5);
});

test('a calendar budget that nothing was spent of resets at the end of its window', () => {
  const { store } = simulate();
  const snapshot = (window: Quota['window']) =>
    store.snapshot([bucket(quota('TotalTokens', 100, { window }))], startMs)[0]?.resetAtMs;
  assert.equal(snapshot({ type: 'Calendar', unit: 'Day', timeZone: 'Europe/Vienna' }), Date.parse('2026-11-22T23:00Z'));
  assert.equal(snapshot(slidingMinute), undefined);
  assert.equal(snapshot(lifetime), undefined);
});
