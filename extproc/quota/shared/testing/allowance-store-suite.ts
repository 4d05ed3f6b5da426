/**
 * What every implementation of the shared store must do, as tests. A store with a real clock runs
 * all but those that need hours.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KEPT_AFTER_END_MS, KEPT_ENDED_MS, MAX_AHEAD_MS, PRECEDENCE_MS } from '../allowances.ts';
import { type Check, fixed, newSuiteId, pick, SuiteReplica, sliding, type TestedStore } from './suite-replica.ts';

export interface SuiteOptions {
  readonly name: string;
  /** Returns a store that knows no window, or undefined where the tests must be skipped. */
  readonly start: () => Promise<TestedStore>;
  /** Whether `pass` takes no real time, so that tests may let hours pass or set the clock back. */
  readonly isSimulated: boolean;
}

export function testAllowanceStore({ name, start, isSimulated }: SuiteOptions): void {
  const check = (title: string, run: (tested: TestedStore) => Promise<void>) =>
    test(`${name}: ${title}`, async () => run(await start()));
  checkGrants(check);
  checkPrecedence(check);
  checkRepetitions(check);
  checkEnds(check);
  checkWindows(check);
  checkDebt(check);
  if (isSimulated) {
    checkClocks(check);
  }
  checkSliding(check);
  checkOperations(check);
}

function checkGrants(check: Check): void {
  check('grants what is wanted while it is at most half of what is free', async (tested) => {
    const replica = new SuiteReplica(tested, await fixed(tested, 1_000));
    const { retryMs, nowMs, clockMs, ...answer } = await replica.ask(0, 400);
    assert.deepEqual(answer, {
      allowance: replica.allowance,
      number: 1,
      state: 'open',
      units: 400,
      limit: 1_000,
      spent: 0,
      spentBefore: 0,
      taken: 400,
      replicas: 1,
      isWanted: false,
    });
    assert.equal(retryMs, 0);
    assert.ok(Math.abs(nowMs - (await tested.nowMs())) < 1_000);
    assert.equal(clockMs, nowMs);
  });

  check('shares what is free, and grants the least first', async (tested) => {
    const window = await fixed(tested, 1_000);
    const [one, other] = [new SuiteReplica(tested, window), new SuiteReplica(tested, window)];
    assert.equal((await one.ask(0, 900)).units, 500);
    // A quarter of 500: two replicas.
    assert.equal((await other.ask(0, 900)).units, 125);
    const more = await other.ask(100, 300, { least: 200 });
    assert.deepEqual(pick(more, 'units', 'spent', 'taken', 'replicas'), {
      units: 325,
      spent: 100,
      taken: 825,
      replicas: 2,
    });
    assert.equal((await one.ask(0, 900, { least: 600 })).units, 675);
    assert.equal((await other.ask(325, 100, { least: 100 })).units, 325);
  });

  check('takes back what is wanted no more', async (tested) => {
    const window = await fixed(tested, 1_000);
    const [one, other] = [new SuiteReplica(tested, window), new SuiteReplica(tested, window)];
    await one.ask(0, 500);
    assert.deepEqual(pick(await one.ask(100, 50), 'units', 'spent', 'taken'), { units: 150, spent: 100, taken: 150 });
    assert.deepEqual(pick(await one.ask(130, 0), 'units', 'spent', 'taken'), { units: 130, spent: 130, taken: 130 });
    assert.equal((await other.ask(0, 435, { least: 435 })).units, 435);
  });

  check('counts what was spent beyond the allowance and the limit', async (tested) => {
    const window = await fixed(tested, 100);
    const [one, other] = [new SuiteReplica(tested, window), new SuiteReplica(tested, window)];
    await one.ask(0, 50);
    assert.deepEqual(pick(await one.ask(130, 0), 'units', 'spent', 'taken'), { units: 130, spent: 130, taken: 130 });
    assert.equal((await other.ask(0, 10, { least: 10 })).units, 0);
  });

  check('keeps large numbers exact', async (tested) => {
    const limit = Number.MAX_SAFE_INTEGER;
    const replica = new SuiteReplica(tested, await fixed(tested, limit));
    assert.equal((await replica.ask(0, limit, { least: limit })).units, limit);
    const answer = await replica.ask(limit - 1, 1);
    assert.deepEqual(pick(answer, 'units', 'spent', 'taken'), { units: limit, spent: limit - 1, taken: limit });
  });
}

function checkPrecedence(check: Check): void {
  check('keeps what others give back for the first allowance that lacks units', async (tested) => {
    const window = await fixed(tested, 100);
    const [one, other, third] = [0, 1, 2].map(() => new SuiteReplica(tested, window)) as [
      SuiteReplica,
      SuiteReplica,
      SuiteReplica,
    ];
    assert.deepEqual(pick(await one.ask(0, 60, { least: 60 }), 'units', 'isWanted'), { units: 60, isWanted: false });
    assert.deepEqual(pick(await other.ask(0, 80, { least: 80 }), 'units', 'isWanted'), { units: 40, isWanted: false });
    const given = await one.ask(20, 30);
    assert.deepEqual(pick(given, 'units', 'taken', 'isWanted'), { units: 50, taken: 90, isWanted: true });
    assert.deepEqual(pick(await third.ask(0, 10, { least: 10 }), 'units', 'isWanted'), { units: 0, isWanted: true });
    assert.equal((await other.ask(0, 80, { least: 40 })).units, 50);
    assert.equal((await one.ask(20, 0)).units, 20);
    assert.equal((await other.ask(0, 80, { least: 30 })).units, 80, 'has what it lacked');
    assert.equal((await one.ask(20, 0)).isWanted, false);
  });

  check('ends the precedence of an allowance that wants less or is silent', async (tested) => {
    const window = await fixed(tested, 100);
    const [one, other] = [new SuiteReplica(tested, window), new SuiteReplica(tested, window)];
    await one.ask(0, 90, { least: 90 });
    await other.ask(0, 20, { least: 20 });
    assert.equal((await one.ask(0, 90)).isWanted, true);
    await other.ask(0, 0);
    assert.equal((await one.ask(0, 90)).isWanted, false);
    await other.ask(0, 20, { least: 20 });
    assert.equal((await one.ask(0, 90)).isWanted, true);
    await tested.pass(PRECEDENCE_MS);
    assert.equal((await one.ask(0, 100, { least: 20 })).isWanted, false);
    assert.equal((await other.ask(0, 20, { least: 10 })).isWanted, true, 'the other has precedence now');
  });
}

function checkRepetitions(check: Check): void {
  check('applies a repeated or late request no second time', async (tested) => {
    const window = await fixed(tested, 1_000);
    const [one, other] = [new SuiteReplica(tested, window), new SuiteReplica(tested, window)];
    const first = one.request(0, 100);
    await one.send(first);
    const second = one.request(60, 100);
    const answer = await one.send(second);
    await one.send(first);
    const again = await one.send(second);
    assert.deepEqual(pick(again, 'units', 'spent', 'taken'), pick(answer, 'units', 'spent', 'taken'));
    assert.equal((await other.ask(0, 10)).taken, 170);
  });

  check('shows each threshold crossed in exactly one exchange', async (tested) => {
    const window = await fixed(tested, 1_000);
    const [one, other] = [new SuiteReplica(tested, window), new SuiteReplica(tested, window)];
    await one.ask(0, 100);
    await other.ask(0, 100);
    const crossing = one.request(60, 40);
    const pair = { spentBefore: 0, spent: 60 };
    assert.deepEqual(pick(await one.send(crossing), 'spentBefore', 'spent'), pair);
    assert.deepEqual(pick(await other.ask(50, 50), 'spentBefore', 'spent'), { spentBefore: 60, spent: 110 });
    assert.deepEqual(pick(await one.send(crossing), 'spentBefore', 'spent'), pair);
    assert.deepEqual(pick(await one.ask(60, 40), 'spentBefore', 'spent'), { spentBefore: 110, spent: 110 });
  });
}

function checkEnds(check: Check): void {
  check('charges an allowance in full whose replica is silent', async (tested) => {
    const window = await fixed(tested, 1_000);
    const [one, other] = [new SuiteReplica(tested, window), new SuiteReplica(tested, window)];
    const late = one.request(0, 200);
    await one.send(late);
    await one.ask(50, 150);
    await tested.pass(1_500);
    await other.ask(0, 10);
    await tested.pass(1_500);
    assert.deepEqual(pick(await other.ask(5, 5), 'spentBefore', 'spent', 'taken', 'replicas'), {
      spentBefore: 50,
      spent: 205,
      taken: 210,
      replicas: 1,
    });
    const ended = await one.ask(80, 300);
    assert.deepEqual(pick(ended, 'state', 'units', 'taken'), { state: 'ended', units: 200, taken: 210 });
    assert.deepEqual(pick(await one.send(late), 'state', 'units'), { state: 'ended', units: 200 });
  });

  check('keeps an allowance open that is renewed', async (tested) => {
    const replica = new SuiteReplica(tested, await fixed(tested, 1_000));
    for (let spent = 0; spent < 4; spent++) {
      assert.deepEqual(pick(await replica.ask(spent, 10), 'state', 'spent'), { state: 'open', spent });
      await tested.pass(1_000);
    }
  });

  check('does not know a later request for an allowance that it never opened', async (tested) => {
    const replica = new SuiteReplica(tested, await fixed(tested, 1_000));
    replica.number = 4;
    assert.deepEqual(pick(await replica.ask(70, 10), 'state', 'units', 'spent', 'taken', 'replicas'), {
      state: 'unknown',
      units: 0,
      spent: 0,
      taken: 0,
      replicas: 0,
    });
  });

  check('charges nothing for concurrent requests, and frees what a silent replica held', async (tested) => {
    const window = await fixed(tested, 10, { type: 'concurrent', startMs: 0, endMs: Number.POSITIVE_INFINITY });
    const [one, other] = [new SuiteReplica(tested, window), new SuiteReplica(tested, window)];
    assert.equal((await one.ask(0, 8, { least: 8 })).units, 8);
    assert.equal((await other.ask(0, 8, { least: 8 })).units, 2);
    await tested.pass(1_500);
    await other.ask(0, 2);
    await tested.pass(1_500);
    assert.deepEqual(pick(await other.ask(0, 8, { least: 8 }), 'units', 'spent', 'taken'), {
      units: 8,
      spent: 0,
      taken: 8,
    });
    assert.deepEqual(pick(await one.ask(0, 8), 'state', 'units'), { state: 'ended', units: 0 });
  });
}

function checkWindows(check: Check): void {
  check('keeps windows apart', async (tested) => {
    await new SuiteReplica(tested, await fixed(tested, 100)).ask(0, 50);
    assert.equal((await new SuiteReplica(tested, await fixed(tested, 100)).ask(0, 20)).taken, 20);
  });

  check('follows the limit of the newest policy', async (tested) => {
    const window = await fixed(tested, 100);
    const old = new SuiteReplica(tested, window);
    await old.ask(0, 40);
    const raised = new SuiteReplica(tested, { ...window, limit: 1_000, limitCounter: 2 });
    assert.deepEqual(pick(await raised.ask(0, 200), 'units', 'limit'), { units: 200, limit: 1_000 });
    assert.deepEqual(pick(await old.ask(0, 100), 'units', 'limit'), { units: 100, limit: 1_000 });
    const lowered = new SuiteReplica(tested, { ...window, limit: 50, limitEpoch: 2 });
    assert.deepEqual(pick(await lowered.ask(0, 10), 'units', 'limit', 'taken'), { units: 0, limit: 50, taken: 300 });
  });

  check('refuses a window that begins too far in the future, or is over for long', async (tested) => {
    const window = await fixed(tested, 100);
    const nowMs = await tested.nowMs();
    const future = { ...window, startMs: nowMs + MAX_AHEAD_MS + 5_000, endMs: nowMs + 3_600_000 };
    const past = { ...window, startMs: 0, endMs: nowMs - KEPT_AFTER_END_MS - 1 };
    for (const refused of [future, past]) {
      const { nowMs: _, allowance, ...answer } = await new SuiteReplica(tested, refused).ask(0, 10);
      assert.deepEqual(answer, {
        number: 1,
        state: 'refused',
        units: 0,
        limit: 0,
        spent: 0,
        spentBefore: 0,
        taken: 0,
        replicas: 0,
        isWanted: false,
        retryMs: 0,
        clockMs: 0,
      });
    }
    const near = { ...window, startMs: nowMs + MAX_AHEAD_MS - 5_000 };
    assert.equal((await new SuiteReplica(tested, near).ask(0, 10)).state, 'open');
  });

  check('does not begin a window that a replica saw end, although the clock is earlier', async (tested) => {
    const window = await fixed(tested, 100);
    const replica = new SuiteReplica(tested, window);
    replica.seenMs = window.endMs + KEPT_AFTER_END_MS;
    assert.equal((await replica.ask(0, 10)).state, 'refused');
    await new SuiteReplica(tested, window).ask(0, 10);
    replica.number = 0;
    assert.equal((await replica.ask(0, 10)).state, 'open', 'a window with a record is not forgotten');
  });
}

function checkDebt(check: Check): void {
  check('carries debt into the next window once', async (tested) => {
    const first = await fixed(tested, 100);
    const second = { ...first, key: `${first.bucket}@2`, previousKey: first.key };
    const third = { ...first, key: `${first.bucket}@3`, previousKey: second.key };
    const [one, other] = [new SuiteReplica(tested, first), new SuiteReplica(tested, first)];
    await one.ask(0, 50);
    await one.ask(120, 0);
    const next = new SuiteReplica(tested, second);
    assert.deepEqual(pick(await next.ask(0, 10), 'spent', 'taken'), { spent: 20, taken: 30 });
    assert.deepEqual(pick(await new SuiteReplica(tested, second).ask(0, 10), 'spent', 'taken'), {
      spent: 20,
      taken: 40,
    });
    await other.ask(0, 0);
    await other.ask(130, 0);
    assert.deepEqual(pick(await next.ask(0, 10), 'spentBefore', 'spent', 'taken'), {
      spentBefore: 20,
      spent: 150,
      taken: 170,
    });
    assert.equal((await new SuiteReplica(tested, third).ask(0, 10)).spent, 50, 'the second window paid 100');
    const reset = { operation: 'reset', operationId: newSuiteId() } as const;
    assert.equal((await next.ask(0, 10, reset)).spent, 0);
    assert.equal((await next.ask(0, 10)).spent, 0, 'a reset forgives the debt');
  });
}

function checkClocks(check: Check): void {
  check('forgets what it charged for an ended allowance after a while', async (tested) => {
    const replica = new SuiteReplica(tested, await fixed(tested, 1_000));
    await replica.ask(0, 200);
    await tested.pass(3_000);
    assert.equal((await new SuiteReplica(tested, replica.window).ask(0, 0)).spent, 200);
    await tested.pass(KEPT_ENDED_MS);
    assert.deepEqual(pick(await replica.ask(50, 0), 'state', 'spent'), { state: 'unknown', spent: 200 });
  });

  check('ends allowances in time although its clock went back by hours', async (tested) => {
    const window = await fixed(tested, 1_000);
    const [one, other] = [new SuiteReplica(tested, window), new SuiteReplica(tested, window)];
    await one.ask(0, 200);
    await tested.pass(-7_200_000);
    assert.equal((await other.ask(0, 100)).spent, 0);
    await tested.pass(1_500);
    assert.equal((await other.ask(0, 100)).spent, 0);
    await tested.pass(1_000);
    const answer = await other.ask(0, 100);
    assert.equal(answer.spent, 200);
    assert.equal(answer.clockMs - answer.nowMs, 7_200_000, 'the clock of the record went on');
  });

  check('forgets a window a while after its end', async (tested) => {
    const window = await fixed(tested, 100);
    await new SuiteReplica(tested, window).ask(0, 10);
    await tested.pass(window.endMs - (await tested.nowMs()) + KEPT_AFTER_END_MS - 1);
    assert.equal((await new SuiteReplica(tested, window).ask(0, 10)).state, 'open');
    await tested.pass(1);
    assert.equal((await new SuiteReplica(tested, window).ask(0, 10)).state, 'refused');
  });
}

function checkSliding(check: Check): void {
  check('counts in segments what is spent in a sliding window', async (tested) => {
    const window = await sliding(tested, 100, 3_000);
    const [one, other] = [new SuiteReplica(tested, window), new SuiteReplica(tested, window)];
    await one.ask(0, 50);
    assert.equal((await one.ask(40, 10)).spent, 40);
    await tested.pass(1_500);
    assert.deepEqual(pick(await one.ask(50, 0), 'units', 'spent', 'taken'), { units: 50, spent: 50, taken: 50 });
    const short = await other.ask(0, 60, { least: 60 });
    assert.deepEqual(pick(short, 'units', 'taken'), { units: 50, taken: 100 });
    assert.ok(short.retryMs > 500 && short.retryMs <= 1_600, `after ${short.retryMs} ms`);
    await tested.pass(short.retryMs);
    const rest = await one.ask(50, 0);
    assert.deepEqual(pick(rest, 'units', 'spent', 'taken'), { units: 50, spent: 10, taken: 60 });
    assert.equal((await other.ask(0, 60, { least: 60 })).units, 60);
  });

  check('says when a sliding window has room again', async (tested) => {
    const window = await sliding(tested, 100, 3_000);
    const replica = new SuiteReplica(tested, window);
    assert.equal((await replica.ask(0, 50)).retryMs, 0);
    const full = await replica.ask(50, 50, { least: 101 });
    assert.equal(full.retryMs, 3_000, 'more than the limit');
  });

  check('charges a silent allowance to the segment in which it ended', async (tested) => {
    const window = await sliding(tested, 100, 6_000);
    const [one, other] = [new SuiteReplica(tested, window), new SuiteReplica(tested, window)];
    await one.ask(0, 50);
    await one.ask(10, 40);
    await tested.pass(2_500);
    assert.deepEqual(pick(await other.ask(0, 0), 'spent', 'taken'), { spent: 50, taken: 50 });
  });

  check('shows a threshold of a sliding window once within its length', async (tested) => {
    const window = await sliding(tested, 100, 3_000);
    const replica = new SuiteReplica(tested, window);
    await replica.ask(0, 50, { ttlMs: 10_000 });
    assert.deepEqual(pick(await replica.ask(50, 40, { ttlMs: 10_000 }), 'spentBefore', 'spent'), {
      spentBefore: 0,
      spent: 50,
    });
    await tested.pass(2_000);
    assert.deepEqual(pick(await replica.ask(60, 30, { ttlMs: 10_000 }), 'spentBefore', 'spent'), {
      spentBefore: 50,
      spent: 60,
    });
    await tested.pass(1_500);
    const falls = await replica.ask(65, 30, { ttlMs: 10_000 });
    assert.deepEqual(pick(falls, 'spentBefore', 'spent'), { spentBefore: 60, spent: 15 });
    await tested.pass(2_000);
    assert.deepEqual(pick(await replica.ask(66, 0, { ttlMs: 10_000 }), 'spentBefore', 'spent'), {
      spentBefore: 5,
      spent: 6,
    });
  });
}

function checkOperations(check: Check): void {
  check('raises the limit of a window by a grant, once for each id', async (tested) => {
    const window = await fixed(tested, 100);
    const replica = new SuiteReplica(tested, window);
    const grant = { operation: 'grant', operationId: newSuiteId(), operationUnits: 400 } as const;
    assert.deepEqual(pick(await replica.ask(0, 200, grant), 'units', 'limit'), { units: 200, limit: 500 });
    assert.equal((await replica.ask(0, 200, grant)).limit, 500);
    const other = new SuiteReplica(tested, { ...window, limit: 300, limitCounter: 2 });
    assert.equal((await other.ask(0, 10)).limit, 700);
  });

  check('resets what was spent, and keeps what allowances have left', async (tested) => {
    const window = await fixed(tested, 100);
    const [one, other] = [new SuiteReplica(tested, window), new SuiteReplica(tested, window)];
    await one.ask(0, 50);
    await one.ask(30, 20);
    const reset = { operation: 'reset', operationId: newSuiteId() } as const;
    assert.deepEqual(pick(await other.ask(0, 10, reset), 'spent', 'taken'), { spent: 0, taken: 30 });
    assert.deepEqual(pick(await one.ask(35, 15), 'units', 'spent', 'taken'), { units: 50, spent: 5, taken: 30 });
    assert.equal((await other.ask(0, 10, reset)).spent, 5, 'once for each id');
  });

  check('resets a sliding window', async (tested) => {
    const replica = new SuiteReplica(tested, await sliding(tested, 100, 60_000));
    await replica.ask(0, 50);
    await replica.ask(30, 20);
    const reset = { operation: 'reset', operationId: newSuiteId() } as const;
    assert.deepEqual(pick(await replica.ask(30, 20, reset), 'spent', 'taken'), { spent: 0, taken: 20 });
    assert.deepEqual(pick(await replica.ask(31, 19), 'spentBefore', 'spent'), { spentBefore: 0, spent: 1 });
  });

  check('applies a change by an allowance that has ended', async (tested) => {
    const window = await fixed(tested, 100);
    const replica = new SuiteReplica(tested, window);
    replica.number = 4;
    const grant = { operation: 'grant', operationId: newSuiteId(), operationUnits: 400 } as const;
    assert.deepEqual(pick(await replica.ask(0, 0, grant), 'state', 'limit'), { state: 'unknown', limit: 500 });
  });
}
