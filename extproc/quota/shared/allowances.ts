/**
 * The port of a store that several replicas share. It divides the limit of each window into
 * allowances, which the replicas spend without asking. Every exchange is atomic and uses the
 * store's clock. At every moment, what all allowances took of a window is at most its limit, unless
 * replicas charged more than they held, the limit was lowered, or debt arrived late.
 *
 * A window counts in one of three ways:
 * - `fixed`: from `startMs` to `endMs`. An ended allowance is charged in full.
 * - `sliding`: units spent leave `slidingMs` later. The store adds what an allowance spent more to
 *   the segment of its own now, `SEGMENTS_PER_WINDOW` a window. An ended allowance is charged in
 *   full, in the segment of the exchange that finds it ended.
 * - `concurrent`: nothing is ever spent, and an ended allowance is charged nothing.
 *
 * Segments and the ends of allowances follow a clock of the window's record, which never goes back:
 * where the store's clock went back since the last exchange, the record's clock goes on from there.
 *
 * `testing/allowance-store-suite.ts` checks an implementation.
 */

/**
 * How long a fixed window is kept after its end by the store's clock. Replicas whose clocks are
 * late by more get nothing for it, because what was spent is forgotten.
 */
export const KEPT_AFTER_END_MS = 600_000;
/** How far the clock of a replica may be ahead of the store's. */
export const MAX_AHEAD_MS = 60_000;
/**
 * How long the charge of an ended allowance is known: longer than any message is on its way. A
 * sliding window is forgotten `slidingMs` + `ttlMs` + this after its last exchange, a concurrent
 * one `ttlMs` + this.
 */
export const KEPT_ENDED_MS = 60_000;
/** For so long after each request, an allowance that lacks units keeps its precedence. */
export const PRECEDENCE_MS = 150;

/** A store that has not answered for so long is lost. */
export const LOSS_MS = 750;

/** A window of a bucket, as all replicas name it. */
export interface SharedWindow {
  /** Unique over all buckets and windows. Records of one bucket have the same `bucket`. */
  readonly key: string;
  readonly bucket: string;
  readonly type: 'fixed' | 'sliding' | 'concurrent';
  readonly limit: number;
  /** The policy that the limit is from: the store keeps the limit of the newest revision. */
  readonly limitEpoch: number;
  readonly limitCounter: number;
  /** Of a fixed window; otherwise 0 and Infinity. */
  readonly startMs: number;
  /** Infinity: never. */
  readonly endMs: number;
  /** Of a sliding window; otherwise 0. */
  readonly slidingMs: number;
  /**
   * The window before a fixed one, of the same bucket; empty: none. The units by which its `spent`
   * passes its limit are the debt of this window, and count as spent here. The store looks them up
   * at every exchange while it knows the window before, and then keeps them. A reset forgives them.
   * See also `AllowanceRequest.earlierKeys` and `laterKeys`.
   */
  readonly previousKey: string;
}

/** Reports what was spent of an allowance, and changes its size. A repetition has no effect. */
export interface AllowanceRequest {
  readonly window: SharedWindow;
  /** Unique over all replicas and their restarts. */
  readonly allowance: string;
  /**
   * The position among the requests for this allowance. The first is 1 and opens the allowance. A
   * request has an effect where the number is higher than any before.
   */
  readonly number: number;
  /**
   * Units spent of this allowance so far: cumulative, also for a sliding window. 0 in the first
   * request, so that a repetition that arrives after the allowance was forgotten charges nothing
   * twice. Always 0 for `concurrent`.
   */
  readonly spent: number;
  /** Units wanted beyond `spent`: more than the allowance has left, or fewer to give some back. */
  readonly want: number;
  /**
   * Units that the replica lacks at the moment: granted before the end of a budget is shared out.
   * An allowance that is granted less has precedence, unless another has: the store keeps for it
   * the units that others give back, until it has its `least`, asks for less, or is silent for
   * `PRECEDENCE_MS`.
   */
  readonly least: number;
  /**
   * After this time without a request, the allowance ends. The same in all requests, so allowances
   * end in the order of their last requests.
   */
  readonly ttlMs: number;
  /**
   * The highest `nowMs` that the replica has received in any answer; 0: none. A fixed window
   * without a record is refused where it ended `KEPT_AFTER_END_MS` before the later of the store's
   * clock and this. So a store whose clock fell back does not begin a forgotten window again.
   */
  readonly seenMs: number;
  /**
   * The windows before `previousKey` that the store may still know, the latest first. Where it does
   * not know those after one, because the bucket was not used, each of them pays its debt by the
   * limit. Absent: only `previousKey` is looked up.
   */
  readonly earlierKeys?: readonly string[] | undefined;
  /**
   * The windows after this one that the store may know, the earliest first: what this one owes
   * becomes their debt at once. Needed where more is reported than was granted, because exchanges
   * of a window look only at the one before.
   */
  readonly laterKeys?: readonly string[] | undefined;
  /**
   * A change by the operator, applied once for each id, whatever becomes of the rest:
   * - `reset`: nothing is spent. What allowances have left stays set aside.
   * - `grant`: the limit is `operationUnits` higher until the window is forgotten. All grants of a
   *   sliding window end `slidingMs` after the last one.
   */
  readonly operation: 'none' | 'reset' | 'grant';
  readonly operationId: string;
  readonly operationUnits: number;
}

export interface AllowanceAnswer {
  readonly allowance: string;
  readonly number: number;
  /**
   * - `open`: the allowance has `units`.
   * - `ended`: the allowance ended, and `units` were charged for it. A new one may follow.
   * - `unknown`: a later request for an allowance that the store does not know: ended longer than
   *   `KEPT_ENDED_MS` ago, or lost. A new one may follow.
   * - `refused`: the window is forgotten, or begins more than `MAX_AHEAD_MS` after the store's now.
   *   Nothing has an effect, and the totals are 0.
   */
  readonly state: 'open' | 'ended' | 'unknown' | 'refused';
  /** Cumulative as `spent`: units of an open allowance − `spent` may be spent. Otherwise 0. */
  readonly units: number;
  /** The limit of the newest revision with all grants. */
  readonly limit: number;
  /**
   * What all replicas have spent of the window, with debt and with what ended allowances were
   * charged.
   */
  readonly spent: number;
  /**
   * `spent` as it was after the exchange before. So exactly one exchange sees a threshold crossed.
   * A repeated request gets the same pair again, also when others have spent meanwhile; an exchange
   * without effect gets the present `spent` for both. For a sliding window: the peak, or what is
   * left at the start of this exchange if that is more. The peak is the highest `spent` of any
   * exchange; `slidingMs` after it was reached, it begins anew.
   */
  readonly spentBefore: number;
  /** What all replicas have spent of the window, or may still spend. */
  readonly taken: number;
  /** Allowances that are open. */
  readonly replicas: number;
  /** Whether another allowance has precedence: this one should give back what it does not need. */
  readonly isWanted: boolean;
  /**
   * For a sliding window, after how long as many units are free as this exchange granted fewer than
   * `least`, if nothing else is spent: 0 if now, `slidingMs` if not by the segments alone. 0 for
   * other windows.
   */
  readonly retryMs: number;
  /**
   * For a sliding window, how long ago the oldest segment began in which anything is spent; 0 if
   * nothing is. 0 for other windows.
   */
  readonly ageMs: number;
  /** The store's clock. */
  readonly nowMs: number;
  /** The clock of the window's record, by which ended allowances are forgotten; 0 if refused. */
  readonly clockMs: number;
}

export interface AllowanceStore {
  /**
   * Calls `done` at most once; with undefined as soon as the exchange is known to have failed, such
   * as by a lost connection or an error of the store. The request may have had its effect even so.
   * Without an answer in time, the caller repeats the request.
   */
  exchange(request: AllowanceRequest, done: (answer: AllowanceAnswer | undefined) => void): void;
}
