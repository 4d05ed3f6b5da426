/**
 * Outlier detection by the responses that this process sees: a target that fails three times in a
 * row is left out for ten seconds, unless a request that is in flight succeeds.
 */
import { isUnderway } from './rest-table.ts';

const FAILURES_IN_A_ROW = 3;
const REST_MS = 10_000;

interface FailingTarget {
  failures: number;
  readonly forMs: typeof REST_MS;
  /** 0: not left out yet. */
  untilMs: number;
}

export class OutlierDetection {
  readonly #failing = new Map<string, FailingTarget>();

  /** Returns for how long the target is left out from now on; undefined: nothing changes. */
  saw(target: string, well: boolean, nowMs: number): number | undefined {
    if (well) {
      this.#failing.delete(target);
      return undefined;
    }
    const seen = this.#failing.get(target) ?? { failures: 0, forMs: REST_MS, untilMs: 0 };
    this.#failing.set(target, seen);
    seen.failures += 1;
    if (seen.failures < FAILURES_IN_A_ROW) {
      return undefined;
    }
    seen.untilMs = nowMs + REST_MS;
    return REST_MS;
  }

  /** Returns when the target is no longer left out; undefined where it is not. */
  until(target: string, nowMs: number): number | undefined {
    const seen = this.#failing.get(target);
    return seen !== undefined && isUnderway(seen, nowMs) ? seen.untilMs : undefined;
  }

  /** Returns the targets that are left out, and until when. */
  all(nowMs: number): readonly (readonly [target: string, untilMs: number])[] {
    return [...this.#failing].flatMap(([target, seen]) =>
      isUnderway(seen, nowMs) ? [[target, seen.untilMs] as const] : [],
    );
  }

  keepOnly(isKept: (target: string) => boolean): void {
    for (const target of this.#failing.keys()) {
      if (!isKept(target)) {
        this.#failing.delete(target);
      }
    }
  }
}
