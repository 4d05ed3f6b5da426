/** Builds what people are told about buckets. */
import { hash } from 'node:crypto';
import {
  type BudgetReport,
  MAX_REPORTED_VALUE_CHARACTERS,
  type ThresholdReport,
} from '../../contract/budget-report.ts';
import { exhaustedAtMs } from '../../contract/forecast.ts';
import type { KeyPart, Quota } from '../../contract/policy.ts';
import type { BucketRef, BucketState, BudgetAlert, BudgetTimes } from './store.ts';
import { shownAmount } from './units.ts';

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

type ReportedState = Omit<BucketState, 'overdraft' | 'isShared'> & Partial<Pick<BucketState, 'isShared'>>;

/**
 * Returns the state of a bucket with amounts as people read them. `hidesKey`: with a digest in
 * place of the key, the same as in metrics.
 */
export function budgetReport(state: ReportedState, hidesKey: boolean): BudgetReport {
  const { bucket, spent, held, limit, isShared = false, startMs, endMs } = state;
  const { quota, values } = bucket;
  const { window } = quota;
  return {
    quota: quota.id,
    key: hidesKey ? digestOfKey(values) : shownKey(bucket),
    type: quota.limit.type,
    ...currencyOf(quota),
    window: {
      type: window.type,
      ...(window.type === 'Calendar' && { unit: window.unit }),
      ...(window.type === 'Sliding' && { durationMs: window.durationMs }),
    },
    spent: String(shownAmount(quota, spent)),
    held: String(shownAmount(quota, held)),
    limit: String(shownAmount(quota, limit)),
    ...(isShared && { isShared }),
    ...(startMs !== undefined && { startMs }),
    ...(endMs !== undefined && { endMs }),
  };
}

/** Only receivers of webhooks see the key where `hidesKey`. */
export function thresholdReport(alert: BudgetAlert, hidesKey: boolean): ThresholdReport {
  return { ...budgetReport(alert, false), percent: alert.percent, atMs: alert.atMs, ...(hidesKey && { hidesKey }) };
}

/** A key of an older version of the quota may have more values. */
function shownKey({ quota, values }: BucketRef): BudgetReport['key'] {
  return values.map((value, place) => ({ ...partName(quota.key[place]), value: bounded(value) }));
}

function digestOfKey(values: readonly string[]): BudgetReport['key'] {
  const joined = values.join(',');
  return joined === '' ? [] : [{ type: '', value: `sha256:${hash('sha256', joined, 'base64url')}` }];
}

function partName(part: KeyPart | undefined): { readonly type: string; readonly name?: string } {
  switch (part?.type) {
    case 'Header':
      return { type: 'Header', name: part.name };
    case 'Claim':
      return { type: 'Claim', name: part.claim };
    default:
      return { type: part?.type ?? '' };
  }
}

/** A header may be long, and Events and metadata of Kubernetes may not. */
function bounded(value: string): string {
  return value.length > MAX_REPORTED_VALUE_CHARACTERS ? `sha256:${hash('sha256', value, 'base64url')}` : value;
}
