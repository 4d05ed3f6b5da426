/**
 * What one request used, as the journal and its SQLite tables keep it: a row of texts and numbers
 * without prompts, responses or credentials.
 */
import type { Usage } from '../usage.ts';

/** Whom a request is charged to, known when it is admitted. */
export interface UsageSubject {
  readonly requestId: string | undefined;
  readonly tenant: string | undefined;
  readonly user: string | undefined;
  /** `NAMESPACE/SECRET` of the API key. */
  readonly apiKey: string | undefined;
  /** The model that the client asked for. */
  readonly model: string | undefined;
  readonly route: string | undefined;
  readonly backend: string | undefined;
  /** The session of a coding agent. */
  readonly session: string | undefined;
}

/** What a settled request used. */
export interface UsageRecord {
  readonly subject: UsageSubject;
  readonly timeMs: number;
  /** The model that the provider names in its response. */
  readonly served: string | undefined;
  readonly status: number | undefined;
  /** `recovered`: the process ended first, and the next one charged what was held. */
  readonly decision: 'none' | 'admitted' | 'cut' | 'recovered';
  /** `provider`, `estimated` or `mixed`. */
  readonly source: string | undefined;
  readonly usage: Usage | undefined;
  readonly cost: UsageCost | undefined;
  readonly overdrafts: readonly UsageOverdraft[];
}

export interface UsageCost {
  readonly nanos: number;
  readonly currency: string;
  /** The version of the price catalog; undefined: the prices are the operator's own. */
  readonly catalog: string | undefined;
}

export interface UsageOverdraft {
  readonly quota: string;
  /** Money is a decimal number, as text. */
  readonly amount: number | string;
  readonly unit: string;
  readonly cause: string;
}

/** What a request held and was charged in one bucket. */
export interface UsageLimit {
  readonly quota: string;
  readonly key: readonly string[];
  /** Money is a decimal number, as text. */
  readonly held: number | string;
  readonly charged: number | string;
  /** What the amounts count, such as tokens or a currency. */
  readonly unit: string;
}

/** How the hold of a request came about. */
export interface UsageHold {
  readonly inputTokens: number;
  /** Granted at admission. */
  readonly outputTokens: number;
  readonly extensions: number;
  /** Granted by extensions. */
  readonly extendedTokens: number;
  readonly limits: readonly UsageLimit[];
}

export type UsageValue = string | number | null;

/** The values of a record, in the order of `usageColumns`. */
export type UsageRow = readonly UsageValue[];

/** The columns of a record, with their SQLite types. `overdrafts` and `hold` are JSON. */
export const usageColumns = {
  time_ms: 'INTEGER',
  request_id: 'TEXT',
  tenant: 'TEXT',
  user: 'TEXT',
  api_key: 'TEXT',
  model: 'TEXT',
  route: 'TEXT',
  backend: 'TEXT',
  session: 'TEXT',
  served: 'TEXT',
  status: 'INTEGER',
  decision: 'TEXT',
  source: 'TEXT',
  input: 'INTEGER',
  output: 'INTEGER',
  cached_input: 'INTEGER',
  cache_write_input: 'INTEGER',
  cache_write_1h_input: 'INTEGER',
  reasoning_output: 'INTEGER',
  audio_input: 'INTEGER',
  audio_output: 'INTEGER',
  cost: 'INTEGER',
  currency: 'TEXT',
  price_version: 'TEXT',
  overdrafts: 'TEXT',
  hold: 'TEXT',
  image_input: 'INTEGER',
  image_output: 'INTEGER',
} as const;

export type UsageColumn = keyof typeof usageColumns;

const types = Object.values(usageColumns);

/** Rows of earlier versions end here: they have no tokens of images. */
export const COLUMNS_WITHOUT_IMAGES = types.length - 2;

/**
 * The id of a record is at least the microseconds of its time, so the order of ids is that of time,
 * and no journal repeats an id.
 */
export const USAGE_IDS_PER_MS = 1_000;

/** Longer texts are recorded shortened: clients choose models, sessions and request ids. */
export const MAX_TEXT_CHARACTERS = 256;

export function usageRow(record: UsageRecord, hold: UsageHold | undefined): UsageRow {
  const { timeMs, served, status, decision, source, usage, cost, overdrafts } = record;
  return [
    Math.floor(timeMs),
    ...subjectRow(record.subject),
    bounded(served),
    status ?? null,
    decision,
    source ?? null,
    usage?.input ?? 0,
    usage?.output ?? 0,
    usage?.cachedInput ?? 0,
    usage?.cacheWriteInput ?? 0,
    usage?.cacheWrite1hInput ?? 0,
    usage?.reasoningOutput ?? 0,
    usage?.audioInput ?? 0,
    usage?.audioOutput ?? 0,
    cost?.nanos ?? 0,
    cost?.currency ?? null,
    cost?.catalog ?? null,
    overdrafts.length === 0 ? null : JSON.stringify(overdrafts),
    hold === undefined ? null : JSON.stringify(hold),
    usage?.imageInput ?? 0,
    usage?.imageOutput ?? 0,
  ];
}

/** Returns the values of a subject, in the order of their columns. */
export function subjectRow(of: UsageSubject): readonly (string | null)[] {
  const { requestId, tenant, user, apiKey, model, route, backend, session } = of;
  return [
    bounded(requestId),
    bounded(tenant),
    bounded(user),
    bounded(apiKey),
    bounded(model),
    bounded(route),
    bounded(backend),
    bounded(session),
  ];
}

const SUBJECT_COLUMNS = 8;

/** Returns the subject of such values. */
export function subjectOf(row: readonly (string | null)[] | undefined): UsageSubject {
  const at = (index: number) => row?.[index] ?? undefined;
  return {
    requestId: at(0),
    tenant: at(1),
    user: at(2),
    apiKey: at(3),
    model: at(4),
    route: at(5),
    backend: at(6),
    session: at(7),
  };
}

export function isSubjectRow(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.length === SUBJECT_COLUMNS &&
    value.every((one) => one === null || typeof one === 'string')
  );
}

export function isUsageRow(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    (value.length === types.length || value.length === COLUMNS_WITHOUT_IMAGES) &&
    value.every(hasType)
  );
}

function hasType(value: unknown, index: number): boolean {
  return value === null ? index > 0 : types[index] === 'TEXT' ? typeof value === 'string' : isCount(value);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function bounded(text: string | undefined): string | null {
  return text === undefined
    ? null
    : text.length > MAX_TEXT_CHARACTERS
      ? `${text.slice(0, MAX_TEXT_CHARACTERS)}…`
      : text;
}
