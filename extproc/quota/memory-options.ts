/** The settings of the quota store in memory. */
import type { BudgetAlert, Overdraft, QuotaKeys } from './store.ts';
import type { WaitListOptions } from './wait-list.ts';

export interface MemoryOptions extends WaitListOptions {
  /**
   * The most live keys of all quotas together, about 1 KB each. `BucketTable` shares them among the
   * quotas.
   */
  readonly maxBuckets: number;
  /**
   * Called when a quota has nearly as many keys as it may have, so that new keys will soon be
   * refused.
   */
  readonly onNearlyFull: (keys: QuotaKeys) => void;
  /** Whether requests leave usage records; possible with a journal only. */
  readonly keepsUsage: boolean;
  /** Called when usage reaches a threshold of `alertAt`. */
  readonly onAlert: (alert: BudgetAlert) => void;
  /** Called for an overdraft that no request was told of: only the shared store has noticed it. */
  readonly onOverdraft: (overdraft: Overdraft) => void;
}

export const memoryDefaults: MemoryOptions = {
  maxBuckets: 100_000,
  keepsUsage: true,
  onNearlyFull: () => {},
  onAlert: () => {},
  onOverdraft: () => {},
  maxWaitingPerBucket: 1_000,
  maxWaiting: 10_000,
  nowMs: Date.now,
  schedule: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
  onError: (error) => {
    throw error;
  },
};
