/**
 * What the span worker gets of a request that has ended: the record without what spans do not show.
 * It crosses the threads as JSON, and everything that a client or a provider chooses is bounded.
 */
import { backendFailure } from '../../interruption.ts';
import type { Overdraft } from '../../quota/store.ts';
import { measuredAmount } from '../../quota/units.ts';
import type { AttemptRecord, GuardRecord, RecordedContent, RequestRecord } from '../../record.ts';
import type { RequestTrace, TracedAttempt } from '../../trace-context.ts';
import { tenantLabel } from '../access-metrics.ts';
import { type ContentMessages, contentMessages, finishReason } from '../content/entry.ts';
import { errorType } from '../error-type.ts';

/** The span of the request and that of its admission. */
const SPANS_OF_A_REQUEST = 2;

const MAX_TEXT_CHARACTERS = 256;
/** The number of spans that wait is bounded, not their size. */
const MAX_CONTENT_CHARACTERS = 64 * 1024;

type CopiedField =
  | 'route'
  | 'rule'
  | 'backend'
  | 'schema'
  | 'conversion'
  | 'operation'
  | 'stream'
  | 'status'
  | 'startMs'
  | 'endMs'
  | 'firstTokenMs'
  | 'usage'
  | 'source'
  | 'cost'
  | 'undeliveredTokens'
  | 'decision'
  | 'agent'
  | 'finishReasons'
  | 'failover'
  | 'clientLeft'
  | 'unmetered'
  | 'requestBytes'
  | 'responseBytes';

type BoundedText =
  | 'responseId'
  | 'requestId'
  | 'method'
  | 'path'
  | 'model'
  | 'responseModel'
  | 'serviceTier'
  | 'providerRequestId';

export interface TracedRequest extends Pick<RequestRecord, CopiedField | BoundedText> {
  readonly trace: {
    readonly traceId: string;
    readonly spanId: string;
    readonly parentSpanId: string | undefined;
    readonly traceState: string | undefined;
    readonly sampled: boolean;
    readonly attempts: readonly TracedAttempt[];
  };
  /** Undefined for a success. */
  readonly error: string | undefined;
  readonly backendFailure: string | undefined;
  readonly attempts: readonly AttemptRecord[] | undefined;
  readonly guard: GuardRecord | undefined;
  readonly content: ContentMessages | undefined;
  readonly caller: TracedCaller | undefined;
  readonly asked: RequestRecord['asked'];
  /** The quotas that the request drew on. */
  readonly quotas: readonly string[];
  readonly overdrafts: readonly { readonly quota: string; readonly amount: number; readonly cause: string }[];
}

export interface TracedCaller {
  readonly decision: 'admitted' | 'refused';
  readonly method: string | undefined;
  readonly tenant: string | undefined;
  readonly user: string | undefined;
  readonly group: string | undefined;
  readonly apiKey: string | undefined;
}

/** Returns how many spans `spansOf` builds. */
export function spanCount({ attempts }: RequestTrace, guard: GuardRecord | undefined): number {
  return SPANS_OF_A_REQUEST + (guard?.calls?.first.length ?? 0) + attempts.length;
}

/**
 * Returns undefined for a request that is not traced. `hashesKeys`: names of callers as SHA-256
 * only.
 */
export function tracedRequest(
  record: RequestRecord,
  overdrafts: readonly Overdraft[],
  hashesKeys: boolean,
  content: readonly RecordedContent[] = [],
): TracedRequest | undefined {
  const { trace } = record;
  if (trace === undefined) {
    return undefined;
  }
  const { traceId, spanId, parent, traceState, sampled, attempts } = trace;
  return {
    trace: { traceId, spanId, parentSpanId: parent?.spanId, traceState, sampled, attempts },
    requestId: bounded(record.requestId),
    method: bounded(record.method),
    path: bounded(record.path),
    model: bounded(record.model),
    responseModel: bounded(record.responseModel),
    serviceTier: bounded(record.serviceTier),
    responseId: bounded(record.responseId),
    finishReasons: record.finishReasons,
    asked: record.asked && { ...record.asked, serviceTier: bounded(record.asked.serviceTier) },
    providerRequestId: bounded(record.providerRequestId),
    route: record.route,
    rule: record.rule,
    backend: record.backend,
    schema: record.schema,
    conversion: record.conversion,
    operation: record.operation,
    stream: record.stream,
    status: record.status,
    startMs: record.startMs,
    endMs: record.endMs,
    firstTokenMs: record.firstTokenMs,
    usage: record.usage,
    source: record.source,
    cost: record.cost,
    undeliveredTokens: record.undeliveredTokens,
    decision: record.decision,
    agent: record.agent,
    failover: record.failover,
    clientLeft: record.clientLeft,
    unmetered: record.unmetered,
    requestBytes: record.requestBytes,
    responseBytes: record.responseBytes,
    error: errorType(record),
    backendFailure: record.broken && backendFailure(record.broken),
    attempts: record.attempts,
    guard: record.guard,
    content: contentOfSpans(record, content),
    caller: tracedCaller(record, hashesKeys),
    quotas: record.buckets.map(({ quota }) => quota.id),
    overdrafts: overdrafts.map(({ bucket: { quota }, amount, cause }) => ({
      quota: quota.id,
      amount: measuredAmount(quota.limit, amount),
      cause,
    })),
  };
}

/** Returns what the first policy keeps that names spans. */
function contentOfSpans(record: RequestRecord, content: readonly RecordedContent[]): ContentMessages | undefined {
  const kept = content.find(({ destinations }) => destinations.includes('Spans'));
  const sizes = [kept?.prompt, kept?.response].flatMap((part) => part?.texts ?? []);
  const size = sizes.reduce((sum, { text }) => sum + text.length, 0);
  return kept === undefined || size > MAX_CONTENT_CHARACTERS ? undefined : contentMessages(finishReason(record), kept);
}

function tracedCaller({ access }: RequestRecord, hashes: boolean): TracedCaller | undefined {
  if (access === undefined) {
    return undefined;
  }
  const { decision, method, caller, group } = access;
  const { tenant, user, apiKey } = caller ?? {};
  const label = (name: string | undefined) => name && tenantLabel(name, hashes);
  return { decision, method, tenant: label(tenant), user: label(user), group: label(group), apiKey };
}

function bounded<T extends string | undefined>(text: T): T {
  return text !== undefined && text.length > MAX_TEXT_CHARACTERS
    ? (`${text.slice(0, MAX_TEXT_CHARACTERS)}…` as T)
    : text;
}
