import { setTimeout as sleep } from 'node:timers/promises';
import { errorMessage } from '../../runtime/error-message.ts';
import { type Check, type CheckOutcome, type CheckResult, unknown } from './check-result.ts';

/**
 * Runs all checks at once. A check that fails or has no result in time is reported as unknown,
 * and does not delay the others.
 */
export async function runChecks(checks: readonly Check[], deadlineMs: number): Promise<readonly CheckResult[]> {
  const results = await Promise.all(
    checks.map(async ({ name, run }) => {
      const outcomes = await outcomesOf(run, deadlineMs);
      return outcomes.map((outcome): CheckResult => ({ check: name, ...outcome }));
    }),
  );
  return results.flat();
}

async function outcomesOf(run: Check['run'], deadlineMs: number): Promise<readonly CheckOutcome[]> {
  const ended = new AbortController();
  const late = sleep(deadlineMs, undefined, { signal: ended.signal }).then(
    () => [unknown(`no result within ${deadlineMs / 1000} s`)],
    () => [],
  );
  try {
    return await Promise.race([Promise.resolve().then(run), late]);
  } catch (error) {
    return [unknown(errorMessage(error))];
  } finally {
    ended.abort();
  }
}
