/** What every implementation of the shared store must do with limits, debt and ends of windows. */
import assert from 'node:assert/strict';
import { KEPT_AFTER_END_MS, KEPT_ENDED_MS, MAX_AHEAD_MS, type SharedWindow } from '../allowances.ts';
import { type Check, fixed, newSuiteId, pick, SuiteReplica, type TestedStore } from './suite-replica.ts';

export function checkWindows(check: Check): void {
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
        ageMs: 0,
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

export function checkDebt(check: Check): void {
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

  checkLateDebt(check);
}

/** Windows of one bucket, one after the other, that all are open. */
async function windowsOfOne(tested: TestedStore, count: number): Promise<readonly SharedWindow[]> {
  const first = await fixed(tested, 100);
  return Array.from({ length: count }, (_, index) => ({
    ...first,
    key: `${first.bucket}@${index}`,
    previousKey: index === 0 ? '' : `${first.bucket}@${index - 1}`,
  }));
}

function checkLateDebt(check: Check): void {
  check('carries what is spent late into the windows that have begun since', async (tested) => {
    const windows = await windowsOfOne(tested, 5);
    const replicas = windows.map((window) => new SuiteReplica(tested, window));
    const [first, second, , fourth] = replicas as [SuiteReplica, SuiteReplica, SuiteReplica, SuiteReplica];
    await first.ask(0, 10);
    await second.ask(0, 50);
    await second.ask(50, 0);
    await fourth.ask(0, 10);
    assert.equal((await fourth.ask(10, 0)).spent, 10);
    const laterKeys = windows.slice(1).map(({ key }) => key);
    await first.ask(400, 0, { laterKeys });
    // 300 − 50 of the second window − 100 of the third, which was not used.
    assert.equal((await fourth.ask(10, 0)).spent, 160);
    const reset = { operation: 'reset', operationId: newSuiteId() } as const;
    await fourth.ask(10, 0, reset);
    await first.ask(420, 0, { laterKeys });
    assert.equal((await fourth.ask(10, 0)).spent, 20, 'only what is new after a reset');
  });

  check('carries debt over windows that were not used', async (tested) => {
    const windows = await windowsOfOne(tested, 4);
    const [first, , , fourth] = windows as [SharedWindow, SharedWindow, SharedWindow, SharedWindow];
    const spender = new SuiteReplica(tested, first);
    await spender.ask(0, 10);
    await spender.ask(450, 0);
    const earlierKeys = [windows[1]!.key, first.key];
    assert.equal((await new SuiteReplica(tested, fourth).ask(0, 10, { earlierKeys })).spent, 150);
  });
}

export function checkClocks(check: Check): void {
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
