/** Which bucket the rate limit headers of an answer tell about: for each kind the one that will stop the client first. */
import type { LimitType } from '../../contract/policy.ts';
import type { BucketView } from './store.ts';

export type LimitKind = 'requests' | 'tokens' | 'input-tokens' | 'output-tokens';

const kinds = {
  Requests: 'requests',
  TotalTokens: 'tokens',
  InputTokens: 'input-tokens',
  OutputTokens: 'output-tokens',
} as const satisfies Record<LimitType, LimitKind>;

/** The view with the least remaining of each kind; of equals the one that is reset last. `Shadow` quotas stop nobody and are left out. */
export function tightest(views: readonly BucketView[]): ReadonlyMap<LimitKind, BucketView> {
  const tightest = new Map<LimitKind, BucketView>();
  for (const view of views) {
    const { quota } = view.bucket;
    const kind = kinds[quota.limit.type];
    const other = tightest.get(kind);
    if (quota.mode === 'Enforce' && (other === undefined || isTighter(view, other))) {
      tightest.set(kind, view);
    }
  }
  return tightest;
}

function isTighter(one: BucketView, other: BucketView): boolean {
  return one.remaining === other.remaining
    ? (one.resetAtMs ?? Number.POSITIVE_INFINITY) > (other.resetAtMs ?? Number.POSITIVE_INFINITY)
    : one.remaining < other.remaining;
}
