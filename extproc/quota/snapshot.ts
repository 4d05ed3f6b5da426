/** The state of buckets as numbers, for headers and gauges. Changes nothing. */

import type { Quota } from '../../contract/policy.ts';
import { amountOf } from '../quota-conditions.ts';
import type { Bucket } from './bucket.ts';
import type { BucketRef, BucketSnapshot, BucketState } from './store.ts';
import { Calendar } from './window.ts';

/** Returns the state of a bucket; `bucket` undefined: nothing of it was spent yet. */
export function bucketSnapshot(ref: BucketRef, bucket: Bucket | undefined, atMs: number): BucketSnapshot {
  if (bucket === undefined) {
    const limit = amountOf(ref.quota, ref.values);
    const untouched = { bucket: ref, limit, remaining: limit };
    const calendar = calendarOf(ref.quota);
    return calendar === undefined ? untouched : { ...untouched, resetAtMs: calendar.at(atMs).endMs };
  }
  const { limit, remaining } = bucket.window;
  const snapshot = { bucket: bucket.ref, limit, remaining };
  const resetAtMs = resetAtMsOf(bucket, atMs);
  return resetAtMs === undefined ? snapshot : { ...snapshot, resetAtMs };
}

/** Calendars of quotas without a bucket; those of buckets belong to their definition. */
const calendars = new WeakMap<Quota, Calendar>();

function calendarOf(quota: Quota): Calendar | undefined {
  const { window } = quota;
  if (window.type !== 'Calendar') {
    return undefined;
  }
  let calendar = calendars.get(quota);
  if (calendar === undefined) {
    calendar = new Calendar(window.unit, window.timeZone);
    calendars.set(quota, calendar);
  }
  return calendar;
}

/** Returns when the whole limit is available again if nothing more is charged. */
function resetAtMsOf({ window }: Bucket, atMs: number): number | undefined {
  if (window.sliding !== undefined) {
    return window.sliding.fallsToAtMs(0, atMs);
  }
  if (window.share !== undefined && window.share.slidingMs > 0) {
    return window.total === 0 ? atMs : atMs + window.share.slidingMs;
  }
  return Number.isFinite(window.endMs) ? window.endMs : undefined;
}

function bucketState({ ref, window }: Bucket): BucketState {
  const { limit, total, held, times } = window;
  const overdraft = Math.max(0, total - limit);
  return { bucket: ref, limit, spent: total, held, overdraft, isShared: window.share !== undefined, ...times };
}

/** Buckets inspected in one scan: a few milliseconds. */
const MAX_SCANNED = 10_000;

/**
 * Finds the buckets with the smallest share of their limit left, smallest first. A scan of a large
 * table inspects only some buckets and those that were tightest before; the next scan continues
 * from there.
 */
export class TightestScan {
  readonly #buckets: ReadonlyMap<string, Bucket>;
  #cursor: MapIterator<Bucket>;
  #tightest: readonly Bucket[] = [];

  constructor(buckets: ReadonlyMap<string, Bucket>) {
    this.#buckets = buckets;
    this.#cursor = buckets.values();
  }

  top(count: number, atMs: number): readonly BucketState[] {
    const seen = new Set(this.#tightest.filter((bucket) => this.#buckets.get(bucket.key) === bucket));
    for (let looked = Math.min(MAX_SCANNED, this.#buckets.size); looked > 0; looked--) {
      let next = this.#cursor.next();
      if (next.done) {
        this.#cursor = this.#buckets.values();
        next = this.#cursor.next();
      }
      if (!next.done) {
        seen.add(next.value);
      }
    }
    this.#tightest = tightestBuckets(seen, count, atMs);
    return this.#tightest.map(bucketState);
  }
}

function tightestBuckets(buckets: Iterable<Bucket>, count: number, atMs: number): readonly Bucket[] {
  const top: { readonly share: number; readonly bucket: Bucket }[] = [];
  for (const bucket of buckets) {
    bucket.roll(atMs);
    const { limit, total, held } = bucket.window;
    const share = limit === 0 ? 0 : (limit - total - held) / limit;
    const last = top.at(-1);
    if (top.length < count || (last !== undefined && share < last.share)) {
      insert(top, { share, bucket });
      if (top.length > count) {
        top.pop();
      }
    }
  }
  return top.map(({ bucket }) => bucket);
}

function insert<T extends { readonly share: number }>(sorted: T[], item: T): void {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle]?.share ?? 0) <= item.share) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  sorted.splice(low, 0, item);
}
