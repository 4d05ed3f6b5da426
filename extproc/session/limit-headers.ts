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
export function tightest(snapshots: readonly BucketSnapshot[]): ReadonlyMap<HeaderKind, BucketSnapshot> {
  const tightest = new Map<HeaderKind, BucketSnapshot>();
  for (const snapshot of snapshots) {
    const { quota } = snapshot.bucket;
    const kind = unitOf(quota).header;
    const other = kind && tightest.get(kind);
    if (kind !== undefined && quota.mode === 'Enforce' && (other === undefined || isTighter(snapshot, other))) {
      tightest.set(kind, snapshot);
    }
  }
  return tightest;
}

function isTighter(one: BucketSnapshot, other: BucketSnapshot): boolean {
  return one.remaining === other.remaining
    ? (one.resetAtMs ?? Number.POSITIVE_INFINITY) > (other.resetAtMs ?? Number.POSITIVE_INFINITY)
    : one.remaining < other.remaining;
}
