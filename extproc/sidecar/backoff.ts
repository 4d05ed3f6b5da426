/** Delays between attempts to reach the controller. */

const FIRST_MS = 100;
const MAX_MS = 5000;
/**
 * Only one replica serves, and the Service picks any of them: this many attempts follow each other
 * closely.
 */
const ATTEMPTS_IN_A_ROUND = 3;
/** A stream that lived this long resets the backoff. */
const SETTLED_AFTER_MS = 10_000;

export class Backoff {
  #failures = 0;
  #openedAtMs = Number.POSITIVE_INFINITY;

  attempt(): void {
    this.#openedAtMs = Number.POSITIVE_INFINITY;
  }

  opened(): void {
    this.#openedAtMs = performance.now();
  }

  ended(): void {
    if (performance.now() - this.#openedAtMs > SETTLED_AFTER_MS) {
      this.#failures = 0;
    }
  }

  reset(): void {
    this.#failures = 0;
  }

  /** Counts a failure and returns the delay before the next attempt, with jitter. */
  nextDelayMs(): number {
    this.#failures++;
    const rounds = Math.floor(this.#failures / ATTEMPTS_IN_A_ROUND);
    const isEndOfRound = this.#failures % ATTEMPTS_IN_A_ROUND === 0;
    const delayMs = isEndOfRound ? Math.min(MAX_MS, FIRST_MS * 2 ** rounds) : FIRST_MS;
    return delayMs * (0.5 + Math.random() / 2);
  }
}
