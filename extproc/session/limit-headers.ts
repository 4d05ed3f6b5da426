/**
 * Chooses the buckets for the rate limit headers: for each kind, the one that will stop the client
 * first.
 */
import type { BucketSnapshot } from '../quota/store.ts';
import { type HeaderKind, unitOf } from '../quota/units.ts';

/**
 * Returns, for each kind, the snapshot with the least remaining; among equals, the one that resets
 * last. Leaves out `Shadow` quotas, which stop nobody.
 */
export function tightest(snapshots: readonly BucketSnapshot[]): readonly BucketSnapshot[] {
  const tightest: BucketSnapshot[] = [];
  for (const snapshot of snapshots) {
    const kind = kindOf(snapshot);
    if (kind === undefined || snapshot.bucket.quota.mode !== 'Enforce') {
      continue;
    }
    const at = tightest.findIndex((other) => kindOf(other) === kind);
    if (at < 0) {
      tightest.push(snapshot);
    } else if (isTighter(snapshot, tightest[at]!)) {
      tightest[at] = snapshot;
    }
  }
  return tightest;
}

/** Returns undefined where no client reads such a header. */
export function kindOf({ bucket }: BucketSnapshot): HeaderKind | undefined {
  return unitOf(bucket.quota).header;
}

function isTighter(one: BucketSnapshot, other: BucketSnapshot): boolean {
  return one.remaining === other.remaining
    ? (one.resetAtMs ?? Number.POSITIVE_INFINITY) > (other.resetAtMs ?? Number.POSITIVE_INFINITY)
    : one.remaining < other.remaining;
}
