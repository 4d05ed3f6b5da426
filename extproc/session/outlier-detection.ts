/**
 * Outlier detection by the responses that this process sees: a target that fails three times in a
 * row is left out for ten seconds. With failover, a target rests after one failure, for a time that
 * its provider or the policy names.
 */

const FAILURES_IN_A_ROW = 3;
const REST_MS = 10_000;

export interface OutlierDetection {
  saw(target: string, well: boolean, nowMs: number): void;
  /** Leaves the target out, also if requests that are in flight succeed. */
  rest(target: string, forMs: number, nowMs: number): void;
  /** Returns when the rest of the target ends; undefined where it is healthy. */
  restsUntil(target: string, nowMs: number): number | undefined;
  /** Forgets targets that a new policy does not have. */
  keepOnly(targets: ReadonlySet<string>): void;
}

export function newOutlierDetection(): OutlierDetection {
  const troubled = new Map<string, { failures: number; untilMs: number }>();
  const resting = new Map<string, { readonly forMs: number; readonly untilMs: number }>();
  return {
    saw(target, well, nowMs) {
      if (well) {
        troubled.delete(target);
        return;
      }
      const seen = troubled.get(target) ?? { failures: 0, untilMs: 0 };
      seen.failures += 1;
      if (seen.failures >= FAILURES_IN_A_ROW) {
        seen.untilMs = nowMs + REST_MS;
      }
      troubled.set(target, seen);
    },
    rest(target, forMs, nowMs) {
      const untilMs = nowMs + forMs;
      if (untilMs > (resting.get(target)?.untilMs ?? 0)) {
        resting.set(target, { forMs, untilMs });
      }
    },
    restsUntil(target, nowMs) {
      const rest = resting.get(target);
      const rests = rest !== undefined && isLater(rest.untilMs, nowMs, rest.forMs);
      if (rest !== undefined && !rests) {
        resting.delete(target);
      }
      const troubledUntilMs = troubled.get(target)?.untilMs ?? 0;
      if (!isLater(troubledUntilMs, nowMs, REST_MS)) {
        return rests ? rest.untilMs : undefined;
      }
      return rests ? Math.max(rest.untilMs, troubledUntilMs) : troubledUntilMs;
    },
    keepOnly(targets) {
      for (const target of [...troubled.keys(), ...resting.keys()]) {
        if (!targets.has(target)) {
          troubled.delete(target);
          resting.delete(target);
        }
      }
    },
  };
}

/** If the clock was ahead, the end is too far in the future to be true. */
function isLater(untilMs: number, nowMs: number, atMostMs: number): boolean {
  return untilMs > nowMs && untilMs <= nowMs + atMostMs;
}
