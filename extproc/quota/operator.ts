/**
 * The operator's view of budgets while the process runs: list them, reset one to its whole limit,
 * or grant more until its window ends.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { nanoUnits } from '../../contract/money.ts';
import type { KeyPart, Quota } from '../../contract/policy.ts';
import type { Bucket } from './bucket.ts';
import { currencyOf, forecastOf, windowText } from './budget-report.ts';
import { bucketRef } from './keys.ts';
import type { MemoryStore } from './memory.ts';
import { bucketSnapshot } from './snapshot.ts';
import { measuredAmount, shownAmount } from './units.ts';

export interface Budget {
  /** `NAMESPACE/POLICY/QUOTA`. */
  readonly quota: string;
  /**
   * The values of the key, in the order of the quota's `key`; empty: a quota without a key, or the
   * shared budget.
   */
  readonly key: readonly string[];
  /** What the values of the key are: `Tenant`, `User`, `Header x-team`, … */
  readonly keyNames: readonly string[];
  /** For example `Month`, `60s`, `Lifetime` or, for concurrent requests, `None`. */
  readonly window: string;
  /** Amounts of money are decimal numbers in text. */
  readonly spent: number | string;
  readonly held: number | string;
  readonly limit: number | string;
  /** Absent: the quota does not count cost. */
  readonly currency?: string;
  /** When the whole limit is available again if nothing more is charged; absent: never. */
  readonly resetAt?: string;
  /** When the limit is spent at the rate of the current window; absent: not within the window. */
  readonly exhaustedAt?: string;
  /** Present where replicas share the budget: when the store counted what all have spent. */
  readonly sharedAt?: string;
}

export interface ResetBudgets {
  readonly budgets: number;
  /** What was spent of all of them. */
  readonly spent: number | string;
  readonly currency?: string;
  /** Present where all replicas of a shared store are concerned. */
  readonly shared?: true;
}

export interface BudgetFilter {
  readonly quota?: string;
  readonly key?: readonly string[];
}

/** Buckets inspected in one turn of the event loop: about a millisecond. */
const BUCKETS_PER_TURN = 1_000;

/**
 * Yields the budgets with something spent or held, each in its state at that moment; yields to the
 * event loop between.
 */
export async function* budgets(store: MemoryStore, filter: BudgetFilter, now: () => number): AsyncGenerator<Budget> {
  for await (const bucket of matching(store, filter)) {
    bucket.roll(now());
    if (bucket.window.total > 0 || bucket.window.held > 0 || bucket.window.granted > 0) {
      yield budget(bucket, now());
    }
  }
}

/**
 * Resets the budgets of a quota, or the one of a key, to their whole limit. Holds stay and are
 * charged when they end. Returns how many budgets were reset, and what was spent of them as far as
 * this replica knows.
 */
export async function resetBudgets(
  store: MemoryStore,
  filter: BudgetFilter & { readonly quota: string },
  now: () => number,
): Promise<ResetBudgets> {
  let count = 0;
  let spent = 0;
  let of: Quota | undefined;
  const shared = sharedBucket(store, filter, now());
  for await (const bucket of matching(store, filter)) {
    bucket.roll(now());
    if (bucket.window.total > 0 || bucket === shared) {
      count++;
      of = bucket.definition.quota;
      spent += bucket.window.total;
      store.reset(bucket);
    }
  }
  store.flush();
  const shown = of === undefined ? spent : shownAmount(of, spent);
  return { budgets: count, spent: shown, ...currencyOf(of), ...sharedBy(store) };
}

export interface Grant {
  readonly quota: string;
  /** The values of the key; empty: the quota has no key. */
  readonly key: readonly string[];
  /** A whole number; of money, a decimal number. */
  readonly amount: string;
}

export interface GrantedBudget {
  readonly amount: number | string;
  /** The limit of the current window, with all grants. */
  readonly limit: number | string;
  readonly currency?: string;
  /** Present where all replicas of a shared store are concerned. */
  readonly shared?: true;
}

/** A grant that is impossible; the text says why. */
export class GrantError extends Error {}

/**
 * Adds an amount to the limit of the current window of one budget: until the window ends, or for
 * the length of a sliding window. Throws a GrantError.
 */
export function grantBudget(store: MemoryStore, { quota: id, key, amount }: Grant, nowMs: number): GrantedBudget {
  const quota = store.table.quotaOf(id);
  if (quota === undefined) {
    throw new GrantError(`no quota ${id} is in force`);
  }
  if (quota.window.type === 'None') {
    throw new GrantError(`quota ${id} counts running requests; raise its amount instead`);
  }
  if (key.length !== quota.key.length) {
    const parts = quota.key.map(({ type }) => type).join(', ');
    const wanted = parts === '' ? 'has no key; leave out --key' : `needs one --key for each of ${parts}`;
    throw new GrantError(`quota ${id} ${wanted}`);
  }
  const units = unitsOf(quota, amount);
  const bucket = store.table.findOrAdd(bucketRef(quota, key), nowMs);
  if (bucket === undefined) {
    throw new GrantError(`quota ${id} has no room for another key`);
  }
  if (units === undefined || !Number.isSafeInteger(bucket.window.limit + units)) {
    const form = quota.limit.type === 'Cost' ? 'a decimal number' : 'a whole number';
    throw new GrantError(`the amount ${amount} must be ${form} above 0; lower a limit in its AIQuotaPolicy`);
  }
  const limit = bucket.window.limit + units;
  store.grant(bucket, units, nowMs);
  const shown = (of: number) => shownAmount(quota, of);
  return { amount: shown(units), limit: shown(limit), ...currencyOf(quota), ...sharedBy(store) };
}

/**
 * Returns the bucket of a key whose window is shared. Other replicas may have spent of it, although
 * this one knows nothing of that.
 */
function sharedBucket(store: MemoryStore, { quota: id, key = [] }: BudgetFilter, nowMs: number): Bucket | undefined {
  const quota = store.opened === undefined || id === undefined ? undefined : store.table.quotaOf(id);
  return quota === undefined || quota.key.length !== key.length || quota.window.type === 'None'
    ? undefined
    : store.table.findOrAdd(bucketRef(quota, key), nowMs);
}

function sharedBy({ opened }: MemoryStore): { readonly shared?: true } {
  return opened === undefined ? {} : { shared: true };
}

/** Returns undefined for a text that is no positive amount. */
function unitsOf({ limit }: Quota, text: string): number | undefined {
  const units =
    limit.type === 'Cost'
      ? /^\d{1,7}(\.\d{1,9})?$/.test(text)
        ? nanoUnits(text)
        : 0
      : /^\d{1,15}$/.test(text)
        ? Number(text) * Math.round(1 / measuredAmount(limit, 1))
        : 0;
  return units > 0 ? units : undefined;
}

function keyName(part: KeyPart): string {
  switch (part.type) {
    case 'Header':
      return `Header ${part.name}`;
    case 'Claim':
      return `Claim ${part.claim}`;
    default:
      return part.type;
  }
}

async function* matching(store: MemoryStore, { quota, key }: BudgetFilter): AsyncGenerator<Bucket> {
  let inspected = 0;
  for (const bucket of store.table.buckets.values()) {
    const isAsked = quota === undefined || bucket.definition.quota.id === quota;
    if (isAsked && (key === undefined || sameKey(key, bucket.values))) {
      yield bucket;
    }
    if (++inspected % BUCKETS_PER_TURN === 0) {
      await turn();
    }
  }
}

function sameKey(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((value, nth) => value === other[nth]);
}

function budget(bucket: Bucket, nowMs: number): Budget {
  const { quota } = bucket.definition;
  const { window, limit } = bucket;
  const { resetAtMs } = bucketSnapshot(bucket.ref, bucket, nowMs);
  return {
    quota: quota.id,
    key: bucket.values,
    keyNames: quota.key.map(keyName),
    window: windowText(quota),
    spent: shownAmount(quota, window.total),
    held: shownAmount(quota, window.held),
    limit: shownAmount(quota, limit),
    ...currencyOf(quota),
    ...(resetAtMs !== undefined && { resetAt: new Date(resetAtMs).toISOString() }),
    ...forecastOf({ spent: window.total, limit, ...window.times }, nowMs),
    ...(window.share !== undefined && { sharedAt: new Date(window.share.countedAtMs ?? 0).toISOString() }),
  };
}
