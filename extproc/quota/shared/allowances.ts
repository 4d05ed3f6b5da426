/**
 * The port of a store that several replicas share. It divides the limit of each window into
 * allowances, which the replicas spend without asking. Every exchange is atomic and uses the
 * store's clock. At every moment, what all allowances took of a window is at most its limit, unless
 * replicas charged more than they held.
 */

/** A window of a bucket, as all replicas name it. */
export interface SharedWindow {
  /** The bucket's key and the start of the window. */
  readonly key: string;
  readonly limit: number;
  readonly startMs: number;
  /** Infinity: never. */
  readonly endMs: number;
}

/** Reports what was spent of an allowance, and changes its size. A repetition has no effect. */
export interface AllowanceRequest {
  readonly window: SharedWindow;
  /** Unique over all replicas and their restarts. */
  readonly allowance: string;
  /** The position among the requests for this allowance; the first is 1. */
  readonly number: number;
  /** Units spent of this allowance so far. */
  readonly spent: number;
  /** Units wanted beyond `spent`: more than the allowance has left, or fewer to give some back. */
  readonly want: number;
  /** What the replica lacks at the moment: granted before the end of a budget is shared out. */
  readonly least: number;
  /** After this time without a request, the allowance ends and is charged in full. */
  readonly ttlMs: number;
}

export interface AllowanceAnswer {
  readonly allowance: string;
  readonly number: number;
  /** `ended`: the allowance takes no more requests; a new one may follow. */
  readonly state: 'open' | 'ended';
  /**
   * Units of the allowance, spent ones included; of an ended one, the units charged for it.
   * Undefined: the store does not know the allowance.
   */
  readonly units: number | undefined;
  /** What all replicas have spent of the window. */
  readonly spent: number;
  /** What all replicas have spent of the window, or may still spend. */
  readonly taken: number;
}

export interface AllowanceStore {
  /** Calls `done` at most once. Without an answer, the caller repeats the request. */
  exchange(request: AllowanceRequest, done: (answer: AllowanceAnswer) => void): void;
}
