/**
 * The port of the store in which replicas tell each other which backends rest. Every exchange uses
 * the store's clock, so replicas need no common one.
 */

/** Something that rests. */
export interface SharedRest {
  /** What rests and why; the same text in all replicas. */
  readonly name: string;
  /** How long from now. */
  readonly forMs: number;
}

/** In one installation; beyond it, the store forgets what would rest the longest. */
export const MAX_SHARED_RESTS = 1_000;

export interface RestStore {
  /**
   * Adds rests that have begun, and calls `done` once with all that have not ended; with undefined
   * where the store does not answer. A repetition has no effect.
   */
  exchangeRests(began: readonly SharedRest[], done: (rests: readonly SharedRest[] | undefined) => void): void;
}
