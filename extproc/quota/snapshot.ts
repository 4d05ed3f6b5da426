/** What others see of buckets: numbers for headers and gauges. Nothing here changes anything. */
import type { Bucket } from './bucket.ts';
import type { BucketRef, BucketSnapshot, BucketState } from './store.ts';

/** `bucket` undefined: nothing of it was spent yet. */
export function bucketSnapshot(ref: BucketRef, bucket: Bucket | undefined, atMs: number): BucketSnapshot {
  if (bucket === undefined) {
    const limit = ref.quota.limit.amount;
    return { bucket: ref, limit, remaining: limit };
  }
  const { limit, window } = bucket;
  const snapshot = { bucket: bucket.ref, limit, remaining: Math.max(0, limit - window.used - window.held) };
  const resetAtMs = resetOf(bucket, atMs);
  return resetAtMs === undefined ? snapshot : { ...snapshot, resetAtMs };
}

/** When the whole limit is there again if nothing more is charged. */
function resetOf({ window }: Bucket, atMs: number): number | undefined {
  if (window.sliding !== undefined) {
    return window.sliding.fallsToAtMs(0, atMs);
  }
  return Number.isFinite(window.endMs) ? window.endMs : undefined;
}

function bucketState({ ref, limit, window }: Bucket): BucketState {
  return {
    bucket: ref,
    limit,
    spent: window.used,
    held: window.held,
    overdraft: Math.max(0, window.used - limit),
  };
}

/** A look at so many buckets takes a few milliseconds. */
const maxLooked = 10_000;

/**
 * Finds the buckets with the smallest share of their limit left, the smallest first. Where there are very many, each look sees only some of them and
 * those that were the tightest before, and goes on from there the next time.
 */
export class TightestScan {
  readonly #buckets: ReadonlyMap<string, Bucket>;
  #unseen: MapIterator<Bucket>;
  #before: readonly Bucket[] = [];

  constructor(buckets: ReadonlyMap<string, Bucket>) {
    this.#buckets = buckets;
    this.#unseen = buckets.values();
  }

  top(count: number, atMs: number): readonly BucketState[] {
    const seen = new Set(this.#before.filter((bucket) => this.#buckets.get(bucket.key) === bucket));
    for (let looked = Math.min(maxLooked, this.#buckets.size); looked > 0; looked--) {
      let next = this.#unseen.next();
      if (next.done) {
        this.#unseen = this.#buckets.values();
        next = this.#unseen.next();
      }
      if (!next.done) {
        seen.add(next.value);
      }
    }
    this.#before = tightestBuckets(seen, count, atMs);
    return this.#before.map(bucketState);
  }
}

function tightestBuckets(buckets: Iterable<Bucket>, count: number, atMs: number): readonly Bucket[] {
  const top: { readonly share: number; readonly bucket: Bucket }[] = [];
  for (const bucket of buckets) {
    bucket.roll(atMs);
    const { limit, window } = bucket;
    const share = limit === 0 ? 0 : (limit - window.used - window.held) / limit;
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
