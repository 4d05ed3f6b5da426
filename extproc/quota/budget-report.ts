/** What people are told about buckets. */
import { exhaustedAtMs } from '../../contract/forecast.ts';
import type { Quota } from '../../contract/policy.ts';
import type { BudgetTimes } from './store.ts';

/** Returns the window of a quota as operators see it: `Month`, `60s`, `Lifetime` or `None`. */
export function windowText({ window }: Quota): string {
  if (window.type === 'Calendar') {
    return window.unit;
  }
  return window.type === 'Sliding' ? `${window.durationMs / 1000}s` : window.type;
}

/** Returns the currency of a quota; nothing where it does not count cost. */
export function currencyOf(quota: Quota | undefined): { readonly currency?: string } {
  return quota?.limit.type === 'Cost' ? { currency: quota.limit.currency } : {};
}

/** Returns when a budget ends at its current rate, in RFC 3339; nothing where that is not known. */
export function forecastOf(
  { spent, limit, startMs, endMs }: BudgetTimes & { readonly spent: number; readonly limit: number },
  nowMs: number,
): { readonly exhaustedAt?: string } {
  const atMs = exhaustedAtMs({ spent, limit, startMs, endMs }, nowMs);
  return atMs === undefined ? {} : { exhaustedAt: new Date(atMs).toISOString() };
}
