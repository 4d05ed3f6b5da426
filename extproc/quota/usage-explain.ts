/** What is known of one request: its record of usage, or its refusal. */
import { decimalText } from '../../contract/money.ts';
import type { UsageCells } from './usage-blocks.ts';
import type { UsageHold, UsageOverdraft } from './usage-record.ts';
import type { UsageTables } from './usage-tables.ts';

/** Fields without a value are absent. */
export interface ExplainedRequest {
  readonly time: string;
  readonly requestId: string;
  readonly decision: string;
  readonly status?: number;
  readonly tenant?: string;
  readonly user?: string;
  readonly key?: string;
  readonly model?: string;
  readonly served?: string;
  readonly route?: string;
  readonly backend?: string;
  readonly session?: string;
  readonly source?: string;
  readonly tokens?: Readonly<Record<string, number>>;
  readonly cost?: string;
  readonly currency?: string;
  readonly catalog?: string;
  readonly hold?: UsageHold;
  readonly overdrafts?: readonly UsageOverdraft[];
  /** Of a refusal: the quota that decided and why, or the code of the error. */
  readonly quota?: string;
  readonly reason?: string;
  /** Of a refusal: the limits that applied, with the values of their keys. */
  readonly limits?: readonly { readonly quota: string; readonly key: readonly string[] }[];
}

/** Returns the settled requests with this id, newest first. */
export function explainUsage(tables: UsageTables, requestId: string): readonly ExplainedRequest[] {
  return tables.find(requestId).map(explained);
}

const tokenColumns = {
  input: 'input',
  cachedInput: 'cached_input',
  cacheWriteInput: 'cache_write_input',
  cacheWrite1hInput: 'cache_write_1h_input',
  output: 'output',
  reasoningOutput: 'reasoning_output',
  audioInput: 'audio_input',
  audioOutput: 'audio_output',
  imageInput: 'image_input',
  imageOutput: 'image_output',
} as const;

export function explained(row: UsageCells): ExplainedRequest {
  const text = (name: string) => row[name] ?? undefined;
  const json = (name: string) => (row[name] === null ? undefined : JSON.parse(String(row[name])));
  const tokens = Object.entries(tokenColumns).map(([name, column]) => [name, Number(row[column])] as const);
  const all = {
    time: new Date(Number(row['time_ms'])).toISOString(),
    requestId: text('request_id'),
    decision: text('decision'),
    status: text('status'),
    tenant: text('tenant'),
    user: text('user'),
    key: text('api_key'),
    model: text('model'),
    served: text('served'),
    route: text('route'),
    backend: text('backend'),
    session: text('session'),
    source: text('source'),
    tokens: row['source'] === null ? undefined : Object.fromEntries(tokens),
    cost: row['currency'] === null ? undefined : decimalText(Number(row['cost'])),
    currency: text('currency'),
    catalog: text('price_version'),
    hold: json('hold'),
    overdrafts: json('overdrafts'),
  };
  return Object.fromEntries(
    Object.entries(all).filter(([, value]) => value !== undefined),
  ) as unknown as ExplainedRequest;
}
