/** What every implementation of the shared store must do with changes by the operator. */
import assert from 'node:assert/strict';
import { type Check, fixed, newSuiteId, pick, SuiteReplica, sliding } from './suite-replica.ts';

export function checkOperations(check: Check): void {
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

  check('ends the grants of a sliding window its length after the last one', async (tested) => {
    const replica = new SuiteReplica(tested, await sliding(tested, 100, 3_000));
    const grant = () =>
      ({ operation: 'grant', operationId: newSuiteId(), operationUnits: 400, ttlMs: 10_000 }) as const;
    const first = grant();
    assert.equal((await replica.ask(0, 10, first)).limit, 500);
    await tested.pass(1_500);
    assert.equal((await replica.ask(0, 10, grant())).limit, 900);
    await tested.pass(2_000);
    assert.equal((await replica.ask(0, 10, first)).limit, 900, 'a repetition adds nothing');
    await tested.pass(1_500);
    assert.deepEqual(pick(await replica.ask(0, 200, first), 'units', 'limit'), { units: 55, limit: 100 });
  });
}
