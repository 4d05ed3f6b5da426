/** What every implementation of the shared store must do with allowances. */
import assert from 'node:assert/strict';
import { PRECEDENCE_MS } from '../allowances.ts';
import { type Check, fixed, pick, SuiteReplica } from './suite-replica.ts';

export function checkGrants(check: Check): void {
  check('grants what is wanted while it is at most half of what is free', async (tested) => {
    const replica = new SuiteReplica(tested, await fixed(tested, 1_000));
    const { retryMs, ageMs, nowMs, clockMs, ...answer } = await replica.ask(0, 400);
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
    assert.deepEqual([retryMs, ageMs], [0, 0]);
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

export function checkPrecedence(check: Check): void {
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

export function checkRepetitions(check: Check): void {
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

export function checkEnds(check: Check): void {
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
