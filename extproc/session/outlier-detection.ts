/** Which targets answer: what this process saw of them, no more. A target that failed three times in a row is left alone for ten seconds, then tried again. */

const FAILURES_IN_A_ROW = 3;
const REST_MS = 10_000;

export interface OutlierDetection {
  saw(target: string, well: boolean, nowMs: number): void;
  healthy(target: string, nowMs: number): boolean;
  /** Targets of an older policy are forgotten. */
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
      // A clock that was ahead must not leave a target alone for as long as it was ahead.
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
