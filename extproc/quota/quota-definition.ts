/** The newest definition of a quota, as its buckets use it. */
import type { Quota } from '../../contract/policy.ts';
import { compileQuotaConditions } from '../quota-conditions.ts';
import { unitName, unitOf } from './units.ts';
import { Calendar } from './window.ts';

/** Shared by all buckets of a quota. */
export interface QuotaDefinition {
  readonly quota: Quota;
  /** What the quota counts; see `Draw.unit`. */
  readonly unit: string;
  /** Definitions of the same kind count the same way, so that what was spent carries over. */
  readonly kind: string;
  /** Whether holds are given back whole: nothing is charged, also for holds that were lost. */
  readonly returnsHolds: boolean;
  readonly calendar: Calendar | undefined;
}

export function quotaDefinition(quota: Quota): QuotaDefinition {
  const { window, limit } = quota;
  const unit = unitName(limit);
  if (quota.overrides !== undefined || quota.when !== undefined) {
    compileQuotaConditions(quota);
  }
  return {
    quota,
    unit,
    kind: `${unit}/${window.type}`,
    returnsHolds: unitOf(quota).returnsHolds,
    calendar: window.type === 'Calendar' ? new Calendar(window.unit, window.timeZone) : undefined,
  };
}
