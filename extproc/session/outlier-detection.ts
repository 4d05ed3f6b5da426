/**
 * Outlier detection by the responses that this process sees: a target that fails three times in a
 * row is left out for ten seconds.
 */

const FAILURES_IN_A_ROW = 3;
const REST_MS = 10_000;

export interface OutlierDetection {
  saw(target: string, well: boolean, nowMs: number): void;
  healthy(target: string, nowMs: number): boolean;
  /** Forgets targets that a new policy does not have. */
  keepOnly(targets: ReadonlySet<string>): void;
}

export function newOutlierDetection(): OutlierDetection {
  const troubled = new Map<string, { failures: number; untilMs: number }>();
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
    healthy(target, nowMs) {
      const untilMs = troubled.get(target)?.untilMs ?? 0;
      // If the clock was ahead, the end is too far in the future to be true.
      return untilMs <= nowMs || untilMs > nowMs + REST_MS;
    },
    keepOnly(targets) {
      for (const target of troubled.keys()) {
        if (!targets.has(target)) {
          troubled.delete(target);
        }
      }
    },
  };
}
