/**
 * The ledger's interface: leases on buckets. A process asks for a hold before anything goes out, extends it while a stream runs and settles it at the end.
 * Answers come by callback, at once (memory) or later (a shared store), so the same session works with both.
 *
 * At each admission and extension: spent + held ≤ limit in every bucket (`Enforce`), over all who share the store.
 */
import type { Quota } from '../../contract/policy.ts';

/** One bucket that a request draws on: a quota and the values of its key. */
export interface BucketRef {
  readonly quota: Quota;
  /** `Quota.id` and the key's values, escaped, joined: unique. */
  readonly key: string;
  /** The key's values, for records. */
  readonly values: readonly string[];
}

export interface Demand {
  readonly id: string;
  readonly atMs: number;
  readonly buckets: readonly BucketRef[];
  /** Input tokens to hold: an upper bound of what will be charged, as far as it can be known. */
  readonly inputTokens: number;
  /** True: `inputTokens` is counted, not only bounded by bytes. False: where a bucket is too near its end to hold so much, the answer is `count-first`. */
  readonly inputCounted: boolean;
  /** Where it is not counted: it is no less, so that a prompt that cannot fit is refused before it is counted. Absent: that is not known. */
  readonly leastInputTokens?: number;
  readonly output: OutputDemand;
  /** Wait so long for holds of others, at most (the smallest `queueTimeoutMs` is applied on top). */
  readonly kind: 'admission';
}

/**
 * - `lease`: output that we see; a small hold that is extended: grants min(want, left ÷ 2 ÷ open streams), at least `least`.
 * - `bound`: output that must be held whole: grants min(want, left), at least `least`.
 */
export interface OutputDemand {
  readonly mode: 'lease' | 'bound' | 'none';
  readonly want: number;
  readonly least: number;
  /**
   * What such an output usually comes to; absent: `least`. A new lease holds so much, or a quarter of what is left of the bucket where that is less, or it waits:
   * few streams that finish are better than many that do not.
   */
  readonly usual?: number;
}

export type Decision =
  | {
      readonly type: 'granted';
      readonly hold: Hold;
      readonly outputTokens: number;
      readonly snapshots: readonly BucketSnapshot[];
      /** Ids of `Shadow` quotas that would have refused; absent: none. */
      readonly shadowRefused?: readonly string[];
    }
  /** `limitTokens`: with more it is refused, so nobody need count further. */
  | { readonly type: 'count-first'; readonly limitTokens: number }
  | {
      readonly type: 'refused';
      /** `spent`: only the window's end helps. `held`: the queue's time is over. `size`: it can never fit into the limit. `keys`: too many live keys. `journal`: it cannot be written. */
      readonly reason: 'spent' | 'held' | 'size' | 'keys' | 'journal';
      readonly bucket: BucketRef;
      /** When asking again may help; absent: never (lifetime). */
      readonly retryAfterMs?: number;
      readonly snapshots: readonly BucketSnapshot[];
    };

/** An opaque handle; a process that ends without settling leaves it to be charged in full (`recovered`). */
export interface Hold {
  readonly id: string;
  /** Who uses up a lease. Set once it is known; until then nothing is taken back. */
  holder?: Holder | undefined;
}

/** Uses up a lease, and gives back what others need more. */
export interface Holder {
  /** Tokens of the lease that are not used, when at least `kept` of it are to stay. */
  unused(kept: number, work: CountingWork): number;
  /** Takes so many of them away: output goes no further than the rest. */
  giveBack(tokens: number): void;
  /** The request's input, counted, where it is held by its bytes; it is asked for before the stream is cut. Undefined: what is held is all that is known. */
  countedInput(): number | undefined;
}

/** How many more bytes of text may be tokenized to find out what is unused; past it, bytes bound what is used. */
export interface CountingWork {
  bytes: number;
}

/** A bucket's state after a decision, for headers and gauges. `resetAtMs` absent: never (lifetime). */
export interface BucketSnapshot {
  readonly bucket: BucketRef;
  readonly limit: number;
  /** limit − spent − held, not below 0. */
  readonly remaining: number;
  readonly resetAtMs?: number;
}

/** `in_flight`: it kept to what it held, and meanwhile others passed the limit, or the limit was lowered. */
export type OverdraftCause = 'input_estimate' | 'hidden_output' | 'bound_ignored' | 'server_tool' | 'in_flight';

export interface Charge {
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** The cause that is recorded if this charge passes what it held and takes a bucket past its limit. */
  readonly cause: OverdraftCause;
}

export interface Overdraft {
  readonly bucket: BucketRef;
  readonly tokens: number;
  readonly cause: OverdraftCause;
}

/** Stops waiting for an answer: nothing is held after that, and `done` is not called. */
export type Cancel = () => void;

/** How many live keys a quota has, and how many it can come to. */
export interface QuotaKeys {
  readonly quota: string;
  readonly keys: number;
  readonly most: number;
}

export interface QuotaStore {
  /** The policy in force has these quotas and no others. What was spent stays, also of a quota that comes back soon. */
  define(quotas: readonly Quota[], atMs: number): void;
  reserve(demand: Demand, done: (decision: Decision) => void): Cancel;
  /**
   * More output for an open hold: `done(tokens)` with what was granted on top. Less than `output.least`: the budget ends here, and this is the rest of it. The
   * provider goes on meanwhile, so a store must answer within 50 ms; nothing is ever waited for.
   */
  extend(hold: Hold, output: OutputDemand, atMs: number, done: (outputTokens: number) => void): Cancel;
  /**
   * Ends a hold: charges what it cost and gives back the rest. Once for each hold. Charges what is held where there is no charge, or one that cannot be
   * (not whole, negative, beyond safe integers): a hold must never stay.
   */
  settle(hold: Hold, charge: Charge | undefined, atMs: number): readonly Overdraft[];
  /** The current state, without any change. */
  snapshot(buckets: readonly BucketRef[], atMs: number): readonly BucketSnapshot[];
  /** Makes all that was granted since the last call survive this process. Called before anything goes out. */
  flush(): void;
  /** For gauges: bounded, the buckets with the least remaining first. */
  top(count: number, atMs: number): readonly BucketState[];
  /** The quotas with the most live keys, at most `count`. */
  keys(count: number): readonly QuotaKeys[];
  /** Why grants cannot be written down at the moment; undefined: they can, or there is no journal. */
  readonly journalFailure: string | undefined;
  close(): void;
}

export interface BucketState {
  readonly bucket: BucketRef;
  readonly limit: number;
  readonly spent: number;
  readonly held: number;
  readonly overdraft: number;
}
