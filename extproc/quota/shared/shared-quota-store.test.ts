import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Quota } from '../../../contract/policy.ts';
import type { Decision } from '../store.ts';
import { bucket, demand, granted, hour, lease, minute, noOutput, quota, slidingMinute } from '../testing.ts';
import { Replicas, type TestReplica } from './testing/replicas.ts';

const tokens = quota('TotalTokens', 100_000);
const requests = quota('Requests', 1_000);

/** Takes `amount` tokens of input, and settles them. */
function spend(replicas: Replicas, replica: TestReplica, of: Quota, amount: number): Decision {
  const decision = replicas.decide(replica, demand([bucket(of)], replicas.time.nowMs, amount, noOutput));
  if (decision.type === 'granted') {
    replicas.settle(replica, decision.hold, amount);
  }
  return decision;
}

/** Spends in steps until a request is refused. Returns what was spent. */
function exhaust(replicas: Replicas, replica: TestReplica, of: Quota, step: number): number {
  for (let spent = 0; ; spent += step) {
    if (spend(replicas, replica, of, step).type !== 'granted') {
      return spent;
    }
    replicas.time.pass(5);
  }
}

test('a warm request waits for no round trip', () => {
  const replicas = new Replicas();
  const replica = replicas.add([tokens]);
  const cold = replicas.ask(replica, demand([bucket(tokens)], replicas.time.nowMs, 100));
  replicas.time.pass(replicas.roundTripMs - 0.5);
  assert.ok(!('decision' in cold));
  replicas.time.pass(0.5);
  replicas.settle(replica, granted(cold.decision).hold, 100);
  for (let nth = 0; nth < 300; nth++) {
    spend(replicas, replica, tokens, 100);
    replicas.time.pass(10);
  }
  for (let nth = 0; nth < 100; nth++) {
    const asked = replicas.ask(replica, demand([bucket(tokens)], replicas.time.nowMs, 100));
    assert.equal(asked.decision?.type, 'granted');
    replicas.settle(replica, granted(asked.decision).hold, 100);
    replicas.time.pass(10);
  }
});

test('one request after another with holds far above their charges rarely waits', () => {
  const replicas = new Replicas();
  const of = quota('TotalTokens', 100_000_000);
  const replica = replicas.add([of]);
  let waits = 0;
  for (let nth = 0; nth < 200; nth++) {
    const sent = replicas.time.nowMs;
    const decision = replicas.decide(replica, demand([bucket(of)], sent, 16_000, noOutput));
    waits += replicas.time.nowMs > sent ? 1 : 0;
    replicas.time.pass(100);
    replicas.settle(replica, granted(decision).hold, 125);
    replicas.time.pass(5);
  }
  assert.ok(waits <= 10, `${waits} of 200 requests wait`);
  assert.ok(replicas.requests.length <= 60, `${replicas.requests.length} exchanges`);
});

test('exchanges grow far less than requests', () => {
  const perSecond = (rate: number) => {
    const replicas = new Replicas();
    const of = quota('Requests', 10_000_000);
    const replica = replicas.add([of]);
    const ask = () => spend(replicas, replica, of, 0);
    for (let nth = 0; nth < 3 * rate; nth++) {
      ask();
      replicas.time.pass(1_000 / rate);
    }
    const before = replicas.requests.length;
    for (let nth = 0; nth < 5 * rate; nth++) {
      ask();
      replicas.time.pass(1_000 / rate);
    }
    return (replicas.requests.length - before) / 5;
  };
  const [slow, fast] = [perSecond(10), perSecond(1_000)];
  assert.ok(slow <= 6, `${slow} exchanges a second for 10 requests`);
  assert.ok(fast <= 6, `${fast} exchanges a second for 1,000 requests`);
});

test('a replica can use 98% of a budget that idle replicas have touched', () => {
  const replicas = new Replicas();
  const [busy, ...others] = Array.from({ length: 5 }, () => replicas.add([tokens]));
  let spent = 0;
  for (const other of others) {
    spent += spend(replicas, other, tokens, 50).type === 'granted' ? 50 : 0;
  }
  spent += exhaust(replicas, busy!, tokens, 50);
  assert.ok(spent >= 98_000, `${spent} of 100,000 spent`);
});

test('an idle replica gives back its allowance within a second', () => {
  const replicas = new Replicas();
  const [one, other] = [replicas.add([tokens]), replicas.add([tokens])];
  for (let nth = 0; nth < 100; nth++) {
    spend(replicas, one, tokens, 200);
    replicas.time.pass(20);
  }
  const { key } = bucket(tokens);
  assert.ok(replicas.totals(key)!.taken > 25_000, 'an allowance in advance');
  replicas.time.pass(1_000);
  assert.deepEqual(replicas.totals(key), { spent: 20_000, taken: 20_000, limit: 100_000 });
  assert.equal(exhaust(replicas, other, tokens, 100), 80_000);
});

test('a burst on a cold bucket is admitted in order with few exchanges', () => {
  const replicas = new Replicas();
  const replica = replicas.add([tokens]);
  const order: number[] = [];
  for (let nth = 0; nth < 1_000; nth++) {
    const asked = demand([bucket(tokens)], replicas.time.nowMs, 10, lease(20, 5));
    replica.store.reserve(asked, (decision) => decision.type === 'granted' && order.push(nth));
  }
  assert.ok(replicas.requests.length <= 1);
  for (let ms = 0; ms < 100; ms++) {
    replicas.time.pass(1);
  }
  assert.equal(order.length, 1_000);
  assert.deepEqual(
    order,
    order.toSorted((one, next) => one - next),
  );
  assert.ok(replicas.requests.length <= 30, `${replicas.requests.length} exchanges`);
});

test('requests that do not fit wait only while others may give something back', () => {
  const replicas = new Replicas();
  const [one, other] = [replicas.add([tokens]), replicas.add([tokens])];
  const held = granted(replicas.decide(one, demand([bucket(tokens)], replicas.time.nowMs, 60_000)));
  const blocked = replicas.decide(other, demand([bucket(tokens)], replicas.time.nowMs, 50_000));
  assert.deepEqual([blocked.type, blocked.type === 'refused' && blocked.reason], ['refused', 'held']);
  replicas.settle(one, held.hold, 60_000);
  replicas.time.pass(1_000);
  const startMs = replicas.time.nowMs;
  const spent = replicas.decide(other, demand([bucket(tokens)], startMs, 50_000));
  assert.ok(spent.type === 'refused' && spent.reason === 'spent');
  assert.equal(spent.retryAfterMs, 3_600_000 - (startMs % 3_600_000) - (replicas.time.nowMs - startMs));
  assert.ok(replicas.time.nowMs - startMs <= 10, 'at once');
  const size = replicas.decide(other, demand([bucket(tokens)], replicas.time.nowMs, 100_001));
  assert.ok(size.type === 'refused' && size.reason === 'size');
});

test('a sliding window is shared, and says when it has room', () => {
  const of = quota('TotalTokens', 1_000, { window: slidingMinute });
  const replicas = new Replicas();
  const [one, other] = [replicas.add([of]), replicas.add([of])];
  assert.equal(spend(replicas, one, of, 400).type, 'granted');
  replicas.time.pass(20_000);
  assert.equal(spend(replicas, other, of, 500).type, 'granted');
  replicas.time.pass(1_000);
  const startMs = replicas.time.nowMs;
  const refused = replicas.decide(other, demand([bucket(of)], startMs, 300));
  assert.ok(refused.type === 'refused' && refused.reason === 'spent', JSON.stringify(refused));
  assert.ok(refused.retryAfterMs! > 37_000 && refused.retryAfterMs! <= 40_100, `${refused.retryAfterMs} ms`);
  replicas.time.pass(refused.retryAfterMs!);
  assert.equal(spend(replicas, other, of, 300).type, 'granted');
  replicas.time.pass(1_000);
  assert.equal(other.store.snapshot([bucket(of)], replicas.time.nowMs)[0]?.remaining, 200);
  replicas.time.pass(120_000);
  assert.equal(exhaust(replicas, one, of, 100), 1_000);
});

test('headers and lists show the window over all replicas', () => {
  const replicas = new Replicas();
  const [one, other] = [replicas.add([tokens]), replicas.add([tokens])];
  spend(replicas, one, tokens, 30_000);
  replicas.time.pass(1_000);
  spend(replicas, other, tokens, 5_000);
  replicas.time.pass(1_000);
  const [snapshot] = other.store.snapshot([bucket(tokens)], replicas.time.nowMs);
  assert.deepEqual([snapshot?.limit, snapshot?.remaining], [100_000, 65_000]);
  const [state] = other.store.top(1, replicas.time.nowMs);
  assert.deepEqual([state?.spent, state?.held, state?.limit], [35_000, 0, 100_000]);
});

test('an alert is raised once for each threshold over all replicas', () => {
  const of = quota('TotalTokens', 10_000, { alertAt: [50, 80] });
  const replicas = new Replicas();
  const [one, other] = [replicas.add([of]), replicas.add([of])];
  for (let nth = 0; nth < 80; nth++) {
    spend(replicas, nth % 2 === 0 ? one : other, of, 100);
    replicas.time.pass(50);
  }
  replicas.time.pass(2_000);
  assert.deepEqual(
    replicas.alerts.map(({ percent, limit }) => [percent, limit]),
    [
      [50, 10_000],
      [80, 10_000],
    ],
  );
});

test('a Shadow quota counts over all replicas, and nothing waits for it', () => {
  const of = quota('TotalTokens', 1_000, { mode: 'Shadow' });
  const replicas = new Replicas();
  const [one, other] = [replicas.add([of]), replicas.add([of])];
  for (const amount of [600, 700]) {
    const asked = replicas.ask(one, demand([bucket(of)], replicas.time.nowMs, amount));
    replicas.settle(one, granted(asked.decision).hold, amount);
  }
  replicas.time.pass(1_500);
  const first = replicas.ask(other, demand([bucket(of)], replicas.time.nowMs, 10)).decision;
  replicas.settle(other, granted(first).hold, 10);
  replicas.time.pass(1_500);
  assert.equal(replicas.totals(bucket(of).key)?.spent, 1_310);
  const next = replicas.ask(other, demand([bucket(of)], replicas.time.nowMs, 10)).decision;
  assert.deepEqual(next?.type === 'granted' && next.shadowRefused, [of.id]);
});

test('concurrent requests are limited over all replicas, and freed when a replica falls silent', () => {
  const of = quota('ConcurrentRequests', 4, { window: { type: 'None' } });
  const replicas = new Replicas();
  const [one, other] = [replicas.add([of]), replicas.add([of])];
  const ask = (replica: TestReplica) => replicas.decide(replica, demand([bucket(of)], replicas.time.nowMs, 1));
  const holds = [ask(one), ask(one), ask(other), ask(other)].map((decision) => granted(decision).hold);
  const refused = ask(one);
  assert.ok(refused.type === 'refused' && refused.reason === 'held');
  replicas.settle(other, holds[3]!, 0);
  replicas.time.pass(1_000);
  granted(ask(one));
  one.store.close();
  replicas.time.pass(12_000);
  for (let nth = 0; nth < 3; nth++) {
    granted(ask(other));
  }
});

test('an overdraft is paid back once by all replicas in the next window', () => {
  const of = quota('TotalTokens', 1_000, { window: minute });
  const replicas = new Replicas();
  const [one, other] = [replicas.add([of]), replicas.add([of])];
  const { hold } = granted(replicas.decide(one, demand([bucket(of)], replicas.time.nowMs, 800)));
  const overdrafts = replicas.settle(one, hold, 1_300);
  assert.equal(overdrafts[0]?.amount, 300);
  replicas.time.pass(61_000);
  assert.equal(exhaust(replicas, one, of, 50) + exhaust(replicas, other, of, 50), 700);
  replicas.time.pass(61_000);
  assert.equal(exhaust(replicas, other, of, 50), 1_000);
});

test('overdrafts add up to what passes the limit, also where no replica knows what others spent', () => {
  const of = quota('TotalTokens', 1_000);
  for (const [first, second, told] of [
    [520, 500, 0],
    [500, 500, 0],
    [1_040, 500, 40],
    [520, 1_010, 10],
  ] as const) {
    const replicas = new Replicas();
    const [one, other] = [replicas.add([of]), replicas.add([of])];
    const holds = [one, other].map((replica) => {
      const decision = replicas.decide(replica, demand([bucket(of)], replicas.time.nowMs, 500, noOutput));
      return granted(decision).hold;
    });
    assert.equal(replicas.totals(bucket(of).key)?.taken, 1_000);
    const inRequests = [...replicas.settle(one, holds[0]!, first), ...replicas.settle(other, holds[1]!, second)].reduce(
      (sum, { amount }) => sum + amount,
      0,
    );
    assert.equal(inRequests, told);
    replicas.time.pass(2_000);
    const beyond = replicas.overdrafts.reduce((sum, { amount }) => sum + amount, 0);
    assert.equal(replicas.totals(bucket(of).key)?.spent, first + second);
    assert.equal(inRequests + beyond, first + second - 1_000);
    assert.ok(replicas.overdrafts.every(({ cause }) => cause === 'in_flight'));
  }
});

test('a changed limit reaches windows that replicas already share', () => {
  const replicas = new Replicas();
  const [one, other] = [replicas.add([tokens]), replicas.add([tokens])];
  assert.equal(exhaust(replicas, one, tokens, 1_000), 100_000);
  const raised = quota('TotalTokens', 120_000);
  replicas.define(one, [raised]);
  replicas.time.pass(500);
  assert.equal(exhaust(replicas, one, raised, 1_000), 20_000);
  assert.equal(exhaust(replicas, other, tokens, 1_000), 0, 'the newest policy decides');
  replicas.define(other, [quota('TotalTokens', 50_000)]);
  replicas.time.pass(500);
  assert.equal(replicas.totals(bucket(tokens).key)?.limit, 50_000);
});

test('an operator resets a shared budget and grants more', () => {
  const replicas = new Replicas();
  const [one, other] = [replicas.add([tokens]), replicas.add([tokens])];
  assert.equal(exhaust(replicas, one, tokens, 1_000), 100_000);
  assert.equal(exhaust(replicas, other, tokens, 1_000), 0);
  const of = other.local.table.buckets.get(bucket(tokens).key)!;
  other.local.reset(of);
  replicas.time.pass(500);
  assert.equal(exhaust(replicas, one, tokens, 1_000), 100_000);
  other.local.grant(of, 5_000, replicas.time.nowMs);
  replicas.time.pass(500);
  assert.equal(exhaust(replicas, one, tokens, 1_000), 5_000);
  assert.equal(replicas.totals(bucket(tokens).key)?.limit, 105_000);
});

test('a replica that stops gives back what it has not spent', async () => {
  const replicas = new Replicas();
  const replica = replicas.add([tokens]);
  for (let nth = 0; nth < 50; nth++) {
    spend(replicas, replica, tokens, 200);
    replicas.time.pass(20);
  }
  const given = replica.store.giveBack();
  replicas.time.pass(20);
  await given;
  assert.deepEqual(replicas.totals(bucket(tokens).key), { spent: 10_000, taken: 10_000, limit: 100_000 });
  replicas.isReachable = false;
  const second = replicas.add([tokens]);
  replicas.isReachable = true;
  spend(replicas, second, tokens, 200);
  replicas.isReachable = false;
  const bounded = second.store.giveBack();
  replicas.time.pass(500);
  await bounded;
});

test('the store is switched at run time, and what was charged stays', () => {
  const replicas = new Replicas();
  const [one, other] = [replicas.add([tokens], false), replicas.add([tokens])];
  const asked = replicas.ask(one, demand([bucket(tokens)], replicas.time.nowMs, 40_000));
  assert.equal(replicas.requests.length, 0, 'without a shared store nothing is sent');
  replicas.settle(one, granted(asked.decision).hold, 40_000);
  one.store.useAllowances(replicas.network);
  spend(replicas, one, tokens, 10_000);
  replicas.time.pass(1_000);
  assert.equal(replicas.totals(bucket(tokens).key)?.spent, 50_000);
  assert.equal(exhaust(replicas, other, tokens, 5_000), 50_000);
  one.store.useAllowances(undefined);
  replicas.time.pass(1_000);
  assert.equal(exhaust(replicas, one, tokens, 5_000), 50_000, 'alone, it counts its own 50,000');
});

test('bounds in time of an extension hold while the store is slow', () => {
  const replicas = new Replicas();
  replicas.roundTripMs = 5_000;
  const replica = replicas.add([tokens]);
  let toldMs: number | undefined;
  const startMs = replicas.time.nowMs;
  replica.store.reserve(demand([bucket(tokens)], startMs, 10, lease(20, 5)), (decision) => {
    assert.ok(decision.type === 'refused');
    toldMs = replicas.time.nowMs;
  });
  replicas.time.pass(1_100);
  assert.ok(toldMs !== undefined && toldMs - startMs <= 1_000);
});

const lossModes = ['FailClosed', 'Degrade', 'FailOpen'] as const;
for (const onStoreLoss of lossModes) {
  test(`without the store, ${onStoreLoss} decides, and each charge is reported once afterwards`, () => {
    const of = quota('TotalTokens', 10_000, { onStoreLoss, window: hour });
    const replicas = new Replicas();
    const [one, other] = [replicas.add([of]), replicas.add([of])];
    for (let nth = 0; nth < 40; nth++) {
      spend(replicas, one, of, 50);
      replicas.time.pass(50);
    }
    const { key } = bucket(of);
    replicas.isReachable = false;
    let alone = 0;
    let last: Decision | undefined;
    for (let nth = 0; nth < 200; nth++) {
      const decision = spend(replicas, one, of, 50);
      alone += decision.type === 'granted' ? 50 : 0;
      last = decision;
      replicas.time.pass(20);
    }
    assert.deepEqual(one.states, ['lost']);
    const set = replicas.totals(key)!;
    const local = { FailClosed: 0, Degrade: 500, FailOpen: 8_000 }[onStoreLoss];
    const allowed = set.taken - 2_000;
    assert.ok(allowed > 0 && allowed < 1_500, `${allowed} in advance`);
    if (onStoreLoss === 'FailOpen') {
      assert.ok(alone > 9_000, `${alone} served`);
    } else {
      assert.equal(alone, Math.floor((allowed + local) / 50) * 50);
      assert.ok(last?.type === 'refused' && last.reason === 'store' && last.retryAfterMs === 1_000);
      const askedMs = replicas.time.nowMs;
      assert.equal(spend(replicas, other, of, 600).type, 'refused', 'a cold bucket');
      assert.ok(replicas.time.nowMs - askedMs <= 1_000);
    }
    replicas.isReachable = true;
    replicas.time.pass(2_000);
    assert.deepEqual(one.states, ['lost', 'available']);
    assert.equal(replicas.totals(key)?.spent, 2_000 + alone);
    assert.equal(replicas.totals(key)?.taken, 2_000 + alone);
    const rest = exhaust(replicas, other, of, 50);
    assert.equal(rest, Math.max(0, Math.floor((8_000 - alone) / 50) * 50));
    replicas.time.pass(120_000);
    assert.equal(replicas.totals(key)?.spent, 2_000 + alone + rest, 'nothing is charged twice');
  });
}

test('once the connection works again, the first request waits for the store', () => {
  const of = quota('TotalTokens', 10_000, { onStoreLoss: 'FailClosed', window: hour });
  const replicas = new Replicas();
  const replica = replicas.add([of]);
  replicas.isReachable = false;
  const isRefused = () => {
    const decision = spend(replicas, replica, of, 50);
    return decision.type === 'refused' && decision.reason === 'store';
  };
  assert.ok(isRefused());
  replicas.time.pass(2_000);
  replicas.isReachable = true;
  replica.store.resume();
  assert.ok(!isRefused());
  assert.deepEqual(replica.states, ['lost', 'available']);
});

test('a store that is lost for long charges an allowance once', () => {
  const replicas = new Replicas();
  const of = quota('TotalTokens', 10_000, { onStoreLoss: 'Degrade' });
  const replica = replicas.add([of]);
  for (let nth = 0; nth < 40; nth++) {
    spend(replicas, replica, of, 50);
    replicas.time.pass(50);
  }
  replicas.isReachable = false;
  replicas.time.pass(30_000);
  const { taken } = replicas.totals(bucket(of).key)!;
  assert.equal(replicas.totals(bucket(of).key)?.spent, taken, 'the silent allowance is charged in full');
  replicas.isReachable = true;
  replicas.time.pass(2_000);
  assert.equal(replicas.totals(bucket(of).key)?.spent, taken);
  const spent = exhaust(replicas, replica, of, 50);
  assert.equal(spent, 8_000, 'the replica spends what it was charged for');
});

test('what a failover lost is reported again, once', () => {
  const replicas = new Replicas();
  const replica = replicas.add([tokens]);
  replicas.allowances = replicas.allowances.fork();
  const empty = replicas.allowances.fork();
  for (let nth = 0; nth < 40; nth++) {
    spend(replicas, replica, tokens, 50);
    replicas.time.pass(50);
  }
  const half = replicas.allowances.fork();
  for (let nth = 0; nth < 40; nth++) {
    spend(replicas, replica, tokens, 50);
    replicas.time.pass(50);
  }
  for (const standby of [half, empty]) {
    replicas.allowances = standby;
    spend(replicas, replica, tokens, 50);
    replicas.time.pass(2_000);
  }
  assert.deepEqual(replicas.totals(bucket(tokens).key), { spent: 4_100, taken: 4_100, limit: 100_000 });
});

test('an admission that waits past the end of a window shares the next one', () => {
  const of = quota('TotalTokens', 1_000, { window: minute, queueTimeoutMs: 30_000 });
  const replicas = new Replicas();
  const [one, other] = [replicas.add([of]), replicas.add([of])];
  replicas.time.pass(50_000);
  replicas.settle(one, granted(replicas.decide(one, demand([bucket(of)], replicas.time.nowMs, 600))).hold, 0);
  granted(replicas.decide(one, demand([bucket(of)], replicas.time.nowMs, 800)));
  const waiting = replicas.ask(one, demand([bucket(of)], replicas.time.nowMs, 900));
  replicas.time.pass(9_990);
  assert.deepEqual(waiting, {});
  replicas.time.pass(15);
  granted(replicas.decide(other, demand([bucket(of)], replicas.time.nowMs, 900)));
  replicas.time.pass(25_000);
  assert.equal(waiting.decision?.type, 'refused', 'the other replica holds 900 of the next 1,000');
});

test('requests over several replicas are admitted up to the limit', () => {
  const replicas = new Replicas();
  const [one, other] = [replicas.add([requests]), replicas.add([requests])];
  let admitted = 0;
  for (let nth = 0; nth < 1_100; nth++) {
    const replica = nth % 3 === 0 ? one : other;
    admitted += replicas.decide(replica, demand([bucket(requests)], replicas.time.nowMs, 1)).type === 'granted' ? 1 : 0;
  }
  assert.equal(admitted, 1_000);
});
