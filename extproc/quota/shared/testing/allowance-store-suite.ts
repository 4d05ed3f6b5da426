/**
 * What every implementation of the shared store must do, as tests. A store with a real clock runs
 * all but those that need hours.
 */
import { test } from 'node:test';
import { checkEnds, checkGrants, checkPrecedence, checkRepetitions } from './allowance-checks.ts';
import { checkOperations } from './operation-checks.ts';
import { checkSliding } from './sliding-checks.ts';
import type { TestedStore } from './suite-replica.ts';
import { checkClocks, checkDebt, checkWindows } from './window-checks.ts';

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
