/** What one of several replicas knows of a window that it shares with the others. */
export interface WindowShare {
  /** What this replica may charge and hold without asking the shared store. */
  readonly budget: number;
  /** The limit of the newest policy that the store knows, with grants. */
  readonly limit: number;
  /** When what was refused last may fit into a sliding window. */
  readonly retryAtMs: number;
  /** Of a sliding window; otherwise 0. */
  readonly slidingMs: number;
  /** Since when a sliding window counts what is spent; undefined: nothing is known to be spent. */
  readonly countedSinceMs: number | undefined;
  /** When the store told what all replicas have spent, by its clock; undefined: not yet. */
  readonly countedAtMs: number | undefined;
  /** Returns what all replicas have spent, where this one has charged `used` units in all. */
  spentWith(used: number): number;
  /** Returns what is left of the limit beyond what all replicas have taken. */
  remainingWith(used: number, held: number): number;
  /** Notes by how many units a charge passed the limit, as far as this replica knew. */
  charged(over: number): void;
  /** Resets what all replicas have spent to 0. */
  reset(): void;
  /** Raises the limit for all replicas. */
  grant(units: number): void;
}
