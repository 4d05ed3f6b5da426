/** Tells when destinations begin to fail and when they work again. */
import type { ContentDestination } from '../../../contract/content.ts';

/** A destination that fails now and then is told of once. */
const RECOVERY_MS = 30_000;

export class DestinationHealth {
  readonly #tell: (destination: ContentDestination, failure: string | undefined) => void;
  readonly #now: () => number;
  /** When a destination failed last; absent for one that works. */
  readonly #failedAtMs = new Map<ContentDestination, number>();

  constructor(tell: (destination: ContentDestination, failure: string | undefined) => void, now?: () => number) {
    this.#tell = tell;
    this.#now = now ?? performance.now.bind(performance);
  }

  /** Takes the outcome of a call; without a failure, the destination has accepted everything. */
  sent(destination: ContentDestination, failure: string | undefined): void {
    const failedAtMs = this.#failedAtMs.get(destination);
    if (failure !== undefined) {
      this.#failedAtMs.set(destination, this.#now());
      if (failedAtMs === undefined) {
        this.#tell(destination, failure);
      }
    } else if (failedAtMs !== undefined && this.#now() - failedAtMs >= RECOVERY_MS) {
      this.#failedAtMs.delete(destination);
      this.#tell(destination, undefined);
    }
  }
}
