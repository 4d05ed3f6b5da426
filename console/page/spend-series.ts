/** Turns sums of usage into what the chart and its tables show. */
import type { UsageGroup, UsageSums } from '../../extproc/quota/usage-report.ts';

/** `requests`, `tokens`, or a currency. */
export type Measure = string;

export interface SpendSeries {
  readonly name: string;
  readonly total: number;
  /** One value for each time. */
  readonly values: readonly number[];
}

export interface Spend {
  /** The starts of the days or hours, in milliseconds, without gaps. */
  readonly timesMs: readonly number[];
  /** The largest first; the last one may have all others. */
  readonly series: readonly SpendSeries[];
}

/** As many as there are colors, with one for all others. */
const MAX_SERIES = 6;
const STEP_MS = { day: 24 * 3_600_000, hour: 3_600_000 } as const;

/** Returns what can be shown of these sums: the currencies first. */
export function measuresOf(rows: readonly UsageSums[]): readonly Measure[] {
  const currencies = new Set(rows.flatMap(({ cost }) => Object.keys(cost)));
  return [...[...currencies].sort(), 'tokens', 'requests'];
}

export function spendOf(
  rows: readonly UsageSums[],
  { step, group, measure }: { readonly step: 'day' | 'hour'; readonly group: UsageGroup; readonly measure: Measure },
  { sinceMs, untilMs }: { readonly sinceMs: number; readonly untilMs: number },
): Spend {
  const stepMs = STEP_MS[step];
  const firstMs = Math.floor(sinceMs / stepMs) * stepMs;
  const timesMs = Array.from({ length: Math.ceil((untilMs - firstMs) / stepMs) }, (_, nth) => firstMs + nth * stepMs);
  const byName = new Map<string, number[]>();
  for (const row of rows) {
    const at = Math.round((startMs(row.group[step] ?? '') - firstMs) / stepMs);
    const name = row.group[group] || 'none';
    const values = byName.get(name) ?? timesMs.map(() => 0);
    byName.set(name, values);
    if (at >= 0 && at < values.length) {
      values[at]! += amountOf(row, measure);
    }
  }
  const all = [...byName].map(([name, values]) => ({ name, values, total: sum(values) }));
  const largest = all.filter(({ total }) => total > 0).sort((one, other) => other.total - one.total);
  const others = largest.splice(MAX_SERIES);
  return { timesMs, series: others.length === 0 ? largest : [...largest, together(others, timesMs)] };
}

/** Returns each series on top of those before it, as a stacked chart draws them. */
export function stacked({ series, timesMs }: Spend): readonly (readonly number[])[] {
  const heights = timesMs.map(() => 0);
  return series.map(({ values }) => values.map((value, at) => (heights[at]! += value)));
}

function together(series: readonly SpendSeries[], timesMs: readonly number[]): SpendSeries {
  const values = timesMs.map((_, at) => sum(series.map((one) => one.values[at]!)));
  return { name: `${series.length} others`, values, total: sum(values) };
}

function amountOf({ requests, inputTokens, outputTokens, cost }: UsageSums, measure: Measure): number {
  switch (measure) {
    case 'requests':
      return requests;
    case 'tokens':
      return inputTokens + outputTokens;
    default:
      return Number(cost[measure] ?? 0);
  }
}

/** Reads `2026-11-01` and `2026-11-01T12`. */
function startMs(text: string): number {
  return Date.parse(text.length > 10 ? `${text}:00:00Z` : `${text}T00:00:00Z`);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
