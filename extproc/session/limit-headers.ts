/** Which bucket the rate limit headers of an answer tell about: for each kind the one that will stop the client first. */
import type { LimitType } from '../../contract/policy.ts';
import type { BucketSnapshot } from '../quota/store.ts';

export type LimitKind = 'requests' | 'tokens' | 'input-tokens' | 'output-tokens';

const kinds = {
  Requests: 'requests',
  TotalTokens: 'tokens',
  InputTokens: 'input-tokens',
  OutputTokens: 'output-tokens',
} as const satisfies Record<LimitType, LimitKind>;

/** The snapshot with the least remaining of each kind; of equals the one that is reset last. `Shadow` quotas stop nobody and are left out. */
export function tightest(snapshots: readonly BucketSnapshot[]): ReadonlyMap<LimitKind, BucketSnapshot> {
  const tightest = new Map<LimitKind, BucketSnapshot>();
  for (const snapshot of snapshots) {
    const { quota } = snapshot.bucket;
    const kind = kinds[quota.limit.type];
    const other = tightest.get(kind);
    if (quota.mode === 'Enforce' && (other === undefined || isTighter(snapshot, other))) {
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
