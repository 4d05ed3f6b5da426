/** What every implementation of the shared store must do with sliding windows. */
import assert from 'node:assert/strict';
import { type Check, pick, SuiteReplica, sliding } from './suite-replica.ts';

export function checkSliding(check: Check): void {
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

  checkPace(check);
}

function checkPace(check: Check): void {
  check('says how long ago the oldest segment of a sliding window began', async (tested) => {
    const replica = new SuiteReplica(tested, await sliding(tested, 100, 3_000));
    const ask = (spent: number, want: number) => replica.ask(spent, want, { ttlMs: 10_000 });
    assert.equal((await ask(0, 50)).ageMs, 0, 'nothing is spent');
    const first = await ask(10, 40);
    assert.ok(first.ageMs <= 50, `${first.ageMs} ms after the first charge`);
    await tested.pass(1_500);
    const { ageMs } = await ask(20, 0);
    assert.ok(ageMs >= 1_500 && ageMs <= 2_000, `${ageMs} ms after 1.5 s`);
    await tested.pass(2_000);
    const later = await ask(20, 0);
    assert.equal(later.spent, 10, 'the first charge has left the window');
    assert.ok(later.ageMs >= 2_000 && later.ageMs <= 2_500, `${later.ageMs} ms after 2 s`);
    await tested.pass(1_500);
    assert.deepEqual(pick(await ask(20, 0), 'spent', 'ageMs'), { spent: 0, ageMs: 0 });
  });
}
