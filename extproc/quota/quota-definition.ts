/** The newest definition of a quota, as its buckets use it. */
import type { Quota } from '../../contract/policy.ts';
import { Calendar } from './window.ts';

/** Shared by all buckets of a quota. */
export interface QuotaDefinition {
  readonly quota: Quota;
  /** Definitions of the same kind count the same way, so that what was spent carries over. */
  readonly kind: string;
  readonly calendar: Calendar | undefined;
}

export function quotaDefinition(quota: Quota): QuotaDefinition {
  const { window, limit } = quota;
  return {
    quota,
    kind: `${limit.type}/${window.type}`,
    calendar: window.type === 'Calendar' ? new Calendar(window.unit, window.timeZone) : undefined,
  };
}
