/** What an operator may see and do with budgets while the process runs: list them, and give one its whole limit again. */
import { setImmediate as turn } from 'node:timers/promises';
import type { Bucket } from './bucket.ts';
import type { MemoryStore } from './memory.ts';
import { bucketSnapshot } from './snapshot.ts';

export interface Budget {
  /** `NAMESPACE/POLICY/QUOTA`. */
  readonly quota: string;
  /** The values of its key, in the order of the quota's `key`; none: the one budget of a quota without a key, or the shared one. */
  readonly key: readonly string[];
  /** As in `Month`, `60s` or `Lifetime`. */
  readonly window: string;
  readonly spent: number;
  readonly held: number;
  readonly limit: number;
  /** When the whole limit is there again if nothing more is charged; absent: never. */
  readonly resetAt?: string;
}

export interface BudgetFilter {
  readonly quota?: string;
  readonly key?: readonly string[];
}

/** Buckets that are looked at in one turn of the event loop: about a millisecond. */
const bucketsATurn = 1_000;

/** Those that have something spent or held, as they stand when they are reached; others work in between. */
export async function* budgets(store: MemoryStore, filter: BudgetFilter, now: () => number): AsyncGenerator<Budget> {
  for await (const bucket of matching(store, filter)) {
    bucket.roll(now());
    if (bucket.window.used > 0 || bucket.window.held > 0) {
      yield budget(bucket, now());
    }
  }
}

/** Gives the budgets of a quota, or the one of a key, their whole limit again. What is held stays, and is charged when it ends. Returns what they were. */
export async function resetBudgets(
  store: MemoryStore,
  filter: BudgetFilter & { readonly quota: string },
  now: () => number,
): Promise<{ readonly budgets: number; readonly spent: number }> {
  let count = 0;
  let spent = 0;
  for await (const bucket of matching(store, filter)) {
    bucket.roll(now());
    if (bucket.window.used > 0) {
      count++;
      spent += bucket.window.used;
      store.reset(bucket);
    }
  }
  store.flush();
  return { budgets: count, spent };
}

async function* matching(store: MemoryStore, { quota, key }: BudgetFilter): AsyncGenerator<Bucket> {
  let looked = 0;
  for (const bucket of store.table.buckets.values()) {
    const isAsked = quota === undefined || bucket.definition.quota.id === quota;
    if (isAsked && (key === undefined || sameKey(key, bucket.values))) {
      yield bucket;
    }
    if (++looked % bucketsATurn === 0) {
      await turn();
    }
  }
}

function sameKey(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((value, nth) => value === other[nth]);
}

function budget(bucket: Bucket, nowMs: number): Budget {
  const { window } = bucket.definition.quota;
  const { resetAtMs } = bucketSnapshot(bucket.ref, bucket, nowMs);
  return {
    quota: bucket.definition.quota.id,
    key: bucket.values,
    window:
      window.type === 'Calendar'
        ? window.unit
        : window.type === 'Sliding'
          ? `${window.durationMs / 1000}s`
          : 'Lifetime',
    spent: bucket.window.used,
    held: bucket.window.held,
    limit: bucket.limit,
    ...(resetAtMs !== undefined && { resetAt: new Date(resetAtMs).toISOString() }),
  };
}
