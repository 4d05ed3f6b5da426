/**
 * The W3C trace context of a request (https://www.w3.org/TR/trace-context-2/): what the client and
 * Envoy send, the ids that are drawn for the gateway's spans, and what each attempt tells its
 * backend.
 */
import { TRACE_PARENT_HEADER, TRACE_STATE_HEADER } from '../contract/headers.ts';
import { firstHeader, type HeaderList, headerValues } from './exchange.ts';

/** Later versions may append members. */
const TRACE_PARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:$|-)/;
/** Version 00 has no further members. */
const TRACE_PARENT_LENGTH = 55;
/** The length that a vendor must at least pass on. */
const MAX_TRACE_STATE_CHARACTERS = 512;

const SAMPLED_FLAG = 1;

/** What the client, or Envoy, says about its own span. */
export interface TraceParent {
  readonly traceId: string;
  readonly spanId: string;
  readonly sampled: boolean;
}

/** Whether the trace with this id is recorded, by the rules for spans with or without a parent. */
export type TraceSampler = (traceId: string, parent: TraceParent | undefined) => boolean;

export interface TraceOptions {
  readonly sampler: TraceSampler;
  /** Returns random hexadecimal digits, not all of them zero. */
  readonly drawId: (bytes: number) => string;
}

/** One attempt at a backend, or the only one. */
export interface TracedAttempt {
  readonly spanId: string;
  readonly startMs: number;
  /** The tokens that quotas hold for the request; undefined where none counts tokens. */
  readonly held: HeldTokens | undefined;
}

export interface HeldTokens {
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** The trace of one request. */
export class RequestTrace {
  readonly traceId: string;
  /** Undefined where neither Envoy nor the client sent a valid context. */
  readonly parent: TraceParent | undefined;
  readonly traceState: string | undefined;
  /** Whether the trace is recorded, and backends are told so. */
  readonly sampled: boolean;
  /** The id of the span of the request. */
  readonly spanId: string;
  readonly attempts: TracedAttempt[] = [];
  readonly #drawId: TraceOptions['drawId'];

  /** `ofEnvoy`: the `traceparent` of Envoy's span, where Envoy traces the request. */
  constructor(headers: HeaderList, { sampler, drawId }: TraceOptions, ofEnvoy?: string) {
    this.#drawId = drawId;
    const client = readTraceParent(headers);
    const envoy = parseTraceParent(ofEnvoy);
    // A span that Envoy does not record would be a parent that nobody can find.
    this.parent = envoy?.sampled ? envoy : client;
    this.traceId = this.parent?.traceId ?? drawId(16);
    // Envoy may have begun another trace than that of the client.
    this.traceState = client?.traceId === this.traceId ? readTraceState(headers) : undefined;
    this.sampled = sampler(this.traceId, this.parent);
    this.spanId = drawId(8);
  }

  /** Begins the span of the next attempt, and returns the header that its backend gets. */
  beginAttempt(startMs: number, held: HeldTokens | undefined): readonly [name: string, value: string] {
    const spanId = this.#drawId(8);
    const { inputTokens = 0, outputTokens = 0 } = held ?? {};
    this.attempts.push({ spanId, startMs, held: held && { inputTokens, outputTokens } });
    return [TRACE_PARENT_HEADER, `00-${this.traceId}-${spanId}-${this.sampled ? '01' : '00'}`];
  }
}

/** Returns undefined where the header is absent, repeated or malformed. */
export function readTraceParent(headers: HeaderList): TraceParent | undefined {
  const text = firstHeader(headers, TRACE_PARENT_HEADER);
  if (text === undefined || headerValues(headers, TRACE_PARENT_HEADER).length > 1) {
    return undefined;
  }
  return parseTraceParent(text);
}

function parseTraceParent(text: string | undefined): TraceParent | undefined {
  if (text === undefined) {
    return undefined;
  }
  const match = TRACE_PARENT.exec(text);
  if (match === null || (text.startsWith('00') && text.length !== TRACE_PARENT_LENGTH)) {
    return undefined;
  }
  const [, traceId, spanId, flags] = match;
  return { traceId: traceId!, spanId: spanId!, sampled: (Number.parseInt(flags!, 16) & SAMPLED_FLAG) !== 0 };
}

/** Whole members only: one that does not fit is left out with those after it. */
function readTraceState(headers: HeaderList): string | undefined {
  const text = headerValues(headers, TRACE_STATE_HEADER).join(',');
  if (text.length <= MAX_TRACE_STATE_CHARACTERS) {
    return text === '' ? undefined : text;
  }
  const end = text.lastIndexOf(',', MAX_TRACE_STATE_CHARACTERS);
  return end <= 0 ? undefined : text.slice(0, end);
}

/** Returns a function that draws ids from the system's random generator. */
export function newIdSource(randomFill: (buffer: Uint8Array) => void): (bytes: number) => string {
  // A call into the generator takes a microsecond, so many ids share one.
  const pool = Buffer.alloc(4096);
  let used = pool.length;
  const draw = (bytes: number): string => {
    if (used + bytes > pool.length) {
      randomFill(pool);
      used = 0;
    }
    used += bytes;
    const id = pool.toString('hex', used - bytes, used);
    return /^0+$/.test(id) ? draw(bytes) : id;
  };
  return draw;
}
