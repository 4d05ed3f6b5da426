/**
 * The interface of the quota store. A request reserves a hold before anything is sent upstream,
 * extends the hold while a stream runs, and settles it at the end. Answers arrive by callback, at
 * once (memory) or later (a shared store), so the same session works with both. The store counts
 * units and knows no limit types: `units.ts` turns a request into draws and its usage into amounts.
 *
 * At each admission and extension: spent + held ≤ limit in every bucket that enforces, over all
 * users of the store.
 */
import type { Quota } from '../../contract/policy.ts';
import type { PolicyRevision } from '../../contract/policy-version.ts';
import type { UsageRecord, UsageSubject } from './usage-record.ts';

/** One bucket that a request draws on: a quota and the values of its key. */
export interface BucketRef {
  readonly quota: Quota;
  /** `Quota.id` and the values of the key, escaped and joined: unique. */
  readonly key: string;
  /** The values of the key, for records. */
  readonly values: readonly string[];
}

/** What a request draws, in whole units: a unit with fractions counts in a smaller one. */
export interface Rates {
  /** Drawn whatever the tokens are. */
  readonly fixed: number;
  readonly perInputToken: number;
  readonly perOutputToken: number;
}

/** What a request draws on one bucket, in units of its quota. */
export interface Draw extends Rates {
  readonly bucket: BucketRef;
  /**
   * The unit of the amounts. The store leaves a draw out where a newer policy counts the quota in
   * another unit.
   */
  readonly unit: string;
  /** Charged at admission, whatever becomes of the request, and never held. */
  readonly final: boolean;
}

export interface Demand {
  readonly id: string;
  readonly atMs: number;
  /** At most one for each bucket. */
  readonly draws: readonly Draw[];
  /** Input tokens to hold: an upper bound of the input, as far as it is known. */
  readonly inputTokens: number;
  /**
   * Whether `inputTokens` is counted, rather than bounded by bytes. If not, the decision is
   * `count-first` where the bound takes too much of what a bucket has left.
   */
  readonly inputCounted: boolean;
  /**
   * A lower bound of input that is not counted: a prompt that cannot fit is refused without
   * counting.
   */
  readonly leastInputTokens?: number;
  readonly output: OutputDemand;
  /** Whom the request is charged to, for its usage record; absent: unknown. */
  readonly subject?: UsageSubject;
}

/**
 * - `lease`: visible output, with a small hold that is extended. Grants min(want, left ÷ 2 ÷ open
 *   streams), at least `least`.
 * - `bound`: output that must be held whole. Grants min(want, left), at least `least`.
 */
export interface OutputDemand {
  readonly mode: 'lease' | 'bound' | 'none';
  readonly want: number;
  readonly least: number;
  /**
   * The usual length of such an output; absent: `least`. A new lease holds this many tokens, or a
   * quarter of what is left of the bucket where that is less, or waits: few streams that finish are
   * better than many that do not.
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
  /** Input of more than `limitTokens` will be refused, so counting can stop there. */
  | { readonly type: 'count-first'; readonly limitTokens: number }
  | {
      readonly type: 'refused';
      /**
       * - `spent`: the budget is used up until the window ends.
       * - `held`: the queue timeout has passed.
       * - `size`: the request can never fit into the limit.
       * - `keys`: the quota has too many live keys.
       * - `journal`: the journal cannot be written.
       * - `store`: the store that replicas share does not answer.
       */
      readonly reason: 'spent' | 'held' | 'size' | 'keys' | 'journal' | 'store';
      readonly bucket: BucketRef;
      /** When a retry may succeed; absent: never (lifetime). */
      readonly retryAfterMs?: number;
      readonly snapshots: readonly BucketSnapshot[];
    };

/** An opaque handle. A hold that its process never settles is charged in full. */
export interface Hold {
  readonly id: string;
  /** The user of a lease. Until it is set, nothing of the lease is taken back. */
  holder?: Holder | undefined;
}

/** Uses up a lease, and gives back what others need more. */
export interface Holder {
  /** Returns how many tokens of the lease are unused beyond the first `kept`. */
  unused(kept: number, work: CountingWork): number;
  /** Takes tokens away: output ends with the rest of the lease. */
  giveBack(tokens: number): void;
  /**
   * Counts the input of a request that is held by its bytes; asked for before the stream is cut.
   * Undefined: nothing is known beyond what is held.
   */
  countedInput(): number | undefined;
}

/**
 * The bytes of text that may still be tokenized to find out what is unused; past them, bytes bound
 * what is used.
 */
export interface CountingWork {
  bytes: number;
}

/**
 * The state of a bucket after a decision, for headers and gauges. `resetAtMs` absent: never
 * (lifetime).
 */
export interface BucketSnapshot {
  readonly bucket: BucketRef;
  readonly limit: number;
  /** limit − spent − held, at least 0. */
  readonly remaining: number;
  readonly resetAtMs?: number;
}

/**
 * `in_flight`: the request kept to its hold, and meanwhile others passed the limit or the limit was
 * lowered.
 */
export type OverdraftCause = 'input_estimate' | 'hidden_output' | 'bound_ignored' | 'server_tool' | 'in_flight';

export interface Charge {
  /** The cost in each bucket, in the order of `Demand.draws`. */
  readonly amounts: readonly number[];
  /** Recorded where an amount passes what was held and takes a bucket past its limit. */
  readonly cause: OverdraftCause;
}

/**
 * `nothing`: the request cost nothing. `everything`: its cost is unknown, and all that is held is
 * charged.
 */
export type FlatCharge = 'nothing' | 'everything';

export interface Overdraft {
  readonly bucket: BucketRef;
  /** Units past the limit. */
  readonly amount: number;
  readonly cause: OverdraftCause;
}

/** Stops waiting for an answer: nothing stays held, and the callback is not called. */
export type Cancel = () => void;

/** The live keys of a quota, and how many it may have. */
export interface QuotaKeys {
  readonly quota: string;
  readonly keys: number;
  readonly most: number;
}

export interface QuotaStore {
  /**
   * Replaces the definitions: the policy of this revision has exactly these quotas. What was spent
   * stays, also for a quota that returns soon. Returns false, and changes nothing, where a newer
   * revision is in force.
   */
  define(quotas: readonly Quota[], revision: PolicyRevision, atMs: number): boolean;
  reserve(demand: Demand, done: (decision: Decision) => void): Cancel;
  /**
   * Asks for more output for an open hold and calls `done` with the tokens granted in addition.
   * Fewer than `output.least` means that the budget ends here, and this is the rest of it. The
   * provider sends on meanwhile, so a store must answer within 50 ms; an extension never waits for
   * holds of others.
   */
  extend(hold: Hold, output: OutputDemand, atMs: number, done: (outputTokens: number) => void): Cancel;
  /**
   * Ends a hold, exactly once: charges its cost and gives back the rest. Charges what is held where
   * the charge is impossible (amounts that are missing, not whole, negative or beyond safe
   * integers), because a hold must never stay. Calls `done` with what passed a limit, once the
   * charge is final.
   */
  settle(hold: Hold, charge: Charge | FlatCharge, atMs: number, done: (overdrafts: readonly Overdraft[]) => void): void;
  /**
   * Keeps what a request used, in the same write as the settlement of its hold. Called in the turn
   * of that settlement, or for a request without a hold.
   */
  recordUsage(record: UsageRecord, hold: Hold | undefined): void;
  /** Whether `recordUsage` keeps records. */
  readonly keepsUsage: boolean;
  /** Returns the current state without changing it. */
  snapshot(buckets: readonly BucketRef[], atMs: number): readonly BucketSnapshot[];
  /**
   * Makes everything granted since the last call survive this process. Called before anything is
   * sent.
   */
  flush(): void;
  /** Returns at most `count` buckets, those with the least remaining first; for gauges. */
  top(count: number, atMs: number): readonly BucketState[];
  /** Returns at most `count` quotas, those with the most live keys first. */
  keys(count: number): readonly QuotaKeys[];
  /** Why grants cannot be written at the moment; undefined: they can, or there is no journal. */
  readonly journalFailure: string | undefined;
  close(): void;
}

/** Usage of a bucket that reached a threshold of `alertAt`. */
export interface BudgetAlert extends BudgetTimes {
  readonly bucket: BucketRef;
  readonly percent: number;
  readonly spent: number;
  readonly held: number;
  readonly limit: number;
  readonly atMs: number;
}

/** When the spent amount of a bucket counts. */
export interface BudgetTimes {
  /** The start of a calendar window, or the oldest charge of a sliding one; undefined: unknown. */
  readonly startMs: number | undefined;
  /** Undefined: never. */
  readonly endMs: number | undefined;
}

export interface BucketState extends BudgetTimes {
  readonly bucket: BucketRef;
  readonly limit: number;
  /** Whether `spent` is what all processes spent together, as far as it is known. */
  readonly isShared: boolean;
  readonly spent: number;
  readonly held: number;
  readonly overdraft: number;
}
