/** The CloudEvents (1.0) of alerts about budgets; docs/guides/budget-alerts.md describes them. */
import { hash } from 'node:crypto';
import type { ThresholdReport } from '../contract/budget-report.ts';
import { exhaustedAtMs } from '../contract/forecast.ts';

/** In the JSON format, structured mode. */
export interface BudgetEvent {
  readonly specversion: '1.0';
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly subject: string;
  readonly time: string;
  readonly datacontenttype: 'application/json';
  readonly data: object;
}

const THRESHOLD_REACHED = 'dev.tallygate.budget.threshold-reached.v1';
const EXHAUSTED = 'dev.tallygate.budget.exhausted.v1';

/**
 * Names a threshold of one budget in one window: alerts of the same name tell the same. Another
 * limit makes another name, because it can be reached again. A window without a fixed start has no
 * part in it.
 */
export function thresholdName({ quota, key, percent, limit, window, startMs }: ThresholdReport): string {
  const start = window.type === 'Calendar' ? startMs : undefined;
  return digest([quota, key.map(({ value }) => value), percent, limit, start ?? '']);
}

export function budgetEvent(report: ThresholdReport): BudgetEvent {
  const [namespace, policy, quota] = report.quota.split('/');
  const isCalendar = report.window.type === 'Calendar';
  return {
    specversion: '1.0',
    // The same for all replicas, and after a restart, so that receivers can leave out repetitions.
    id: isCalendar ? thresholdName(report) : digest([thresholdName(report), report.atMs]),
    source: `/apis/tallygate.dev/v1alpha1/namespaces/${namespace}/aiquotapolicies/${policy}`,
    type: report.percent === 100 ? EXHAUSTED : THRESHOLD_REACHED,
    subject: [quota, ...report.key.map(({ value }) => value)].join('/'),
    time: instant(report.atMs),
    datacontenttype: 'application/json',
    data: eventData(report),
  };
}

function eventData(report: ThresholdReport): object {
  const { quota, key, percent, type, currency, spent, held, limit, window, startMs, endMs, atMs } = report;
  const exhaustedMs = exhaustedAtMs({ spent: Number(spent), limit: Number(limit), startMs, endMs }, atMs);
  return {
    quota,
    key,
    percent,
    type,
    ...(currency !== undefined && { currency }),
    spent,
    held,
    limit,
    window: {
      type: window.type,
      ...(window.unit !== undefined && { unit: window.unit }),
      ...(window.durationMs !== undefined && { durationSeconds: window.durationMs / 1000 }),
      ...(window.type === 'Calendar' && startMs !== undefined && { start: instant(startMs) }),
      ...(window.type === 'Calendar' && endMs !== undefined && { end: instant(endMs) }),
    },
    ...(exhaustedMs !== undefined && { exhaustedAt: instant(exhaustedMs) }),
  };
}

function instant(ms: number): string {
  return new Date(ms).toISOString();
}

function digest(value: unknown): string {
  return hash('sha256', JSON.stringify(value), 'base64url').slice(0, 22);
}
