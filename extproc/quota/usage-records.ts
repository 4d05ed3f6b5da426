/** Pages of single requests, as `tallygate simulate` replays them. */
import type { Usage } from '../usage.ts';
import type { UsageCells } from './usage-blocks.ts';
import type { UsageCost, UsageRecord } from './usage-record.ts';
import type { UsageTables } from './usage-tables.ts';

/** One settled request. Null: the record does not have the value. */
export interface RecordedRequest {
  readonly timeMs: number;
  readonly tenant: string | null;
  readonly user: string | null;
  readonly apiKey: string | null;
  readonly model: string | null;
  readonly route: string | null;
  readonly backend: string | null;
  readonly decision: UsageRecord['decision'];
  readonly usage: Usage | null;
  /** False: tokens of images are not known and are 0 in `usage`. */
  readonly hasImageTokens: boolean;
  readonly cost: Omit<UsageCost, 'catalog'> | null;
}

export interface RecordQuery {
  /** Undefined: the first page. */
  readonly afterId: number | undefined;
  readonly sinceMs: number;
  readonly untilMs: number;
}

export interface RecordPage {
  /** A line of JSON for each `RecordedRequest`, oldest first. */
  readonly lines: string;
  /** Undefined: there are no more requests. */
  readonly lastId: number | undefined;
}

const REQUESTS_PER_PAGE = 500;

export function recordPage(tables: UsageTables, { afterId, sinceMs, untilMs }: RecordQuery): RecordPage {
  const rows = tables.requests(afterId ?? tables.idBefore(sinceMs), untilMs, REQUESTS_PER_PAGE);
  const last = rows.at(-1);
  return {
    lines: recordLines(rows),
    lastId: last === undefined ? undefined : Number(last['id']),
  };
}

/** Returns the lines of a page. */
export function recordLines(rows: readonly UsageCells[]): string {
  return rows.map((row) => `${JSON.stringify(recorded(row))}\n`).join('');
}

function recorded(row: UsageCells): RecordedRequest {
  const text = (name: string) => row[name] as string | null;
  const currency = text('currency');
  return {
    timeMs: Number(row['time_ms']),
    tenant: text('tenant'),
    user: text('user'),
    apiKey: text('api_key'),
    model: text('model'),
    route: text('route'),
    backend: text('backend'),
    decision: text('decision') as RecordedRequest['decision'],
    usage: row['source'] === null ? null : usageOf(row),
    hasImageTokens: row['image_input'] !== null,
    cost: currency === null ? null : { nanos: Number(row['cost']), currency },
  };
}

function usageOf(row: UsageCells): Usage {
  return {
    input: Number(row['input']),
    output: Number(row['output']),
    cachedInput: Number(row['cached_input']),
    cacheWriteInput: Number(row['cache_write_input']),
    cacheWrite1hInput: Number(row['cache_write_1h_input']),
    reasoningOutput: Number(row['reasoning_output']),
    audioInput: Number(row['audio_input']),
    audioOutput: Number(row['audio_output']),
    imageInput: Number(row['image_input']),
    imageOutput: Number(row['image_output']),
  };
}
