/** The operator's view of usage: sums by tenant, user, model and so on, and single requests. */
import { setImmediate as turn } from 'node:timers/promises';
import { decimalText } from '../../contract/money.ts';
import type { UsageCells } from './usage-blocks.ts';
import { HOUR_MS, OTHER } from './usage-hours.ts';
import type { UsageTables } from './usage-tables.ts';

/** What sums can be grouped by, with the column of each. */
export const usageGroups = {
  tenant: 'tenant',
  user: 'user',
  key: 'api_key',
  model: 'model',
  served: 'served',
  route: 'route',
  backend: 'backend',
  session: 'session',
  /** In UTC, as `2026-11-01`. */
  day: 'time',
  /** In UTC, as `2026-11-01T12`. */
  hour: 'time',
} as const;

export type UsageGroup = keyof typeof usageGroups;

export interface UsageQuery {
  readonly by: readonly UsageGroup[];
  readonly sinceMs: number;
  readonly untilMs: number;
  /** Only requests with these values; an empty text: without one. */
  readonly only?: Readonly<Partial<Record<UsageGroup, string>>>;
}

/** The sums of one group. */
export interface UsageSums {
  /** An empty text: the request has none. */
  readonly group: Readonly<Partial<Record<UsageGroup, string>>>;
  requests: number;
  inputTokens: number;
  cachedInputTokens: number;
  cacheWriteInputTokens: number;
  outputTokens: number;
  reasoningOutputTokens: number;
  /** Decimal numbers by currency. */
  readonly cost: Readonly<Record<string, string>>;
}

/** The most groups of one report; the others share one. */
const MAX_GROUPS = 10_000;

/** Requests read in one turn of the event loop, in a few milliseconds. */
const REQUESTS_PER_TURN = 500;

interface OpenSums extends UsageSums {
  readonly nanos: Map<string, number>;
}

/**
 * Returns the sums of each group, most tokens first. Reads whole hours; sessions are read from the
 * single requests, which are kept for a shorter time. Yields to the event loop between.
 */
export function usageReport(tables: UsageTables, query: UsageQuery): Promise<readonly UsageSums[]> {
  const pages = query.by.includes('session') ? requestPages(tables, query) : hourPages(tables, query);
  return sumsOf(pages, query.by, query.only);
}

/** Returns the sums of each group of these rows, most tokens first. */
export async function sumsOf(
  pages: AsyncIterable<readonly UsageCells[]>,
  by: readonly UsageGroup[],
  only: UsageQuery['only'] = {},
): Promise<readonly UsageSums[]> {
  const wanted = Object.entries(only) as [UsageGroup, string][];
  const groups = new Map<string, OpenSums>();
  for await (const rows of pages) {
    for (const row of rows) {
      if (wanted.every(([name, value]) => cellOf(row, name) === value)) {
        addRow(groups, by, row);
      }
    }
  }
  return [...groups.values()]
    .map(({ nanos, ...sums }) => {
      const cost = Object.fromEntries([...nanos].map(([currency, amount]) => [currency, decimalText(amount)]));
      return { ...sums, cost };
    })
    .sort((one, other) => tokens(other) - tokens(one));
}

function tokens({ inputTokens, outputTokens }: UsageSums): number {
  return inputTokens + outputTokens;
}

async function* hourPages(
  tables: UsageTables,
  { sinceMs, untilMs }: UsageQuery,
): AsyncGenerator<readonly UsageCells[]> {
  for (const hour of tables.hours(sinceMs, untilMs)) {
    yield tables.rowsOf(hour);
    await turn();
  }
}

/** Yields the single requests of a time after an id, oldest first. */
export async function* requestPages(
  tables: UsageTables,
  { sinceMs, untilMs }: Pick<UsageQuery, 'sinceMs' | 'untilMs'>,
  afterId = 0,
): AsyncGenerator<readonly UsageCells[]> {
  for (let after = Math.max(afterId, tables.idBefore(sinceMs)); ; ) {
    const rows = tables.requests(after, untilMs, REQUESTS_PER_TURN);
    yield rows;
    const last = rows.at(-1);
    if (last === undefined) {
      return;
    }
    after = Number(last['id']);
    await turn();
  }
}

/** The length of `2026-11-01` and `2026-11-01T12`. */
const TIME_CHARACTERS = { day: 10, hour: 13 } as const;

function cellOf(row: UsageCells, name: UsageGroup): string {
  if (name === 'day' || name === 'hour') {
    const timeMs = Number(row['time_ms'] ?? Number(row['hour']) * HOUR_MS);
    return new Date(timeMs).toISOString().slice(0, TIME_CHARACTERS[name]);
  }
  return String(row[usageGroups[name]] ?? '');
}

function addRow(groups: Map<string, OpenSums>, by: readonly UsageGroup[], row: UsageCells): void {
  let values = by.map((name) => cellOf(row, name));
  let key = JSON.stringify(values);
  if (!groups.has(key) && groups.size >= MAX_GROUPS) {
    values = by.map(() => OTHER);
    key = JSON.stringify(values);
  }
  let sums = groups.get(key);
  if (sums === undefined) {
    sums = {
      group: Object.fromEntries(by.map((name, index) => [name, values[index]!])),
      requests: 0,
      inputTokens: 0,
      cachedInputTokens: 0,
      cacheWriteInputTokens: 0,
      outputTokens: 0,
      reasoningOutputTokens: 0,
      cost: {},
      nanos: new Map(),
    };
    groups.set(key, sums);
  }
  sums.requests += Number(row['requests'] ?? 1);
  sums.inputTokens += Number(row['input']);
  sums.cachedInputTokens += Number(row['cached_input']);
  sums.cacheWriteInputTokens += Number(row['cache_write_input']);
  sums.outputTokens += Number(row['output']);
  sums.reasoningOutputTokens += Number(row['reasoning_output']);
  const { currency } = row;
  if (typeof currency === 'string' && currency !== '') {
    sums.nanos.set(currency, (sums.nanos.get(currency) ?? 0) + Number(row['cost']));
  }
}
