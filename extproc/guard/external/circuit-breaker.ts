/** Stops asking a detector that fails repeatedly, so that requests do not wait for it in vain. */

/** Failures in a row that open the circuit. */
const MAX_FAILURES = 5;
const MIN_OPEN_MS = 1_000;
const MAX_OPEN_MS = 30_000;

/** `probe`: finds out whether the detector is back. */
export type BreakerPass = 'usual' | 'probe';

export class CircuitBreaker {
  readonly #now: () => number;
  #failures = 0;
  #openMs = MIN_OPEN_MS;
  /** Undefined: closed. */
  #openUntilMs: number | undefined;
  #isProbing = false;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Admits a request, which ends in one of the other methods; undefined: the circuit is open. */
  admit(): BreakerPass | undefined {
    if (this.#openUntilMs === undefined) {
      return 'usual';
    }
    if (this.#isProbing || this.#now() < this.#openUntilMs) {
      return undefined;
    }
    this.#isProbing = true;
    return 'probe';
  }

  succeeded(): void {
    this.#failures = 0;
    this.#openMs = MIN_OPEN_MS;
    this.#openUntilMs = undefined;
    this.#isProbing = false;
  }

  failed(admission: BreakerPass): void {
    this.#failures++;
    this.left(admission);
    // What was sent before the circuit opened does not prolong its time.
    if (admission === 'probe' || (this.#openUntilMs === undefined && this.#failures >= MAX_FAILURES)) {
      this.#openUntilMs = this.#now() + this.#openMs;
      this.#openMs = Math.min(MAX_OPEN_MS, this.#openMs * 2);
    }
  }

  /** The caller gave the request up, which says nothing about the detector. */
  left(admission: BreakerPass): void {
    if (admission === 'probe') {
      this.#isProbing = false;
    }
  }
}
