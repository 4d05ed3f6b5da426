/**
 * Bounds how much of another process a console takes, however many viewers ask: so many calls at a
 * time, and a rest after each that is in proportion to how long it took.
 */
import { setTimeout as sleep } from 'node:timers/promises';

export interface TurnOptions {
  readonly atOnce: number;
  /** How long a turn stays taken after a call, in times of its duration. */
  readonly rests: number;
  /** More calls that wait are refused. */
  readonly maxWaiting: number;
}

export class Turns {
  readonly #options: TurnOptions;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  constructor(options: TurnOptions) {
    this.#options = options;
  }

  /** Does the work in its turn. Rejects where too many wait. */
  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    const { atOnce, maxWaiting } = this.#options;
    if (this.#taken < atOnce) {
      this.#taken++;
    } else if (this.#waiting.length < maxWaiting) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      throw new Error('too many calls of the console wait');
    }
    const startMs = performance.now();
    try {
      return await work();
    } finally {
      void this.#rest(performance.now() - startMs);
    }
  }

  async #rest(tookMs: number): Promise<void> {
    await sleep(tookMs * this.#options.rests, undefined, { ref: false });
    const next = this.#waiting.shift();
    if (next === undefined) {
      this.#taken--;
    } else {
      next();
    }
  }
}
