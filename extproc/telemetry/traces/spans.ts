/**
 * Builds the spans of a request that has ended: one for the request, and below it one for its
 * admission and one for each attempt at a backend. Pure.
 */
import {
  type Attributes,
  type HrTime,
  type SpanContext,
  SpanKind,
  type SpanStatus,
  SpanStatusCode,
  TraceFlags,
} from '@opentelemetry/api';
import type { InstrumentationScope } from '@opentelemetry/core';
import { TraceState } from '@opentelemetry/core';
import type { Resource } from '@opentelemetry/resources';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import { currencyUnits } from '../../../contract/money.ts';
import { attribute } from '../names.ts';
import { openInferenceAttempt, openInferenceRequest } from './open-inference.ts';
import {
  admissionAttributes,
  attemptAttributes,
  attemptError,
  contentAttributes,
  httpRoute,
  requestAttributes,
  type SpanAttributes,
  type SpanNaming,
} from './span-attributes.ts';
import type { TracedRequest } from './traced-request.ts';

export interface SpanOptions extends SpanNaming {
  readonly resource: Resource;
  readonly scope: InstrumentationScope;
  readonly drawId: (bytes: number) => string;
}

interface SpanParts {
  readonly name: string;
  readonly kind: SpanKind;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly isRemoteParent?: boolean;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: SpanAttributes;
  readonly failed?: boolean;
  readonly events?: readonly SpanEvent[];
}

interface SpanEvent {
  readonly name: string;
  readonly timeMs: number;
  readonly attributes: SpanAttributes;
}

/** The number of events that one span of a request may have. */
const MAX_GUARDRAIL_EVENTS = 100;

export function spansOf(request: TracedRequest, options: SpanOptions): ReadableSpan[] {
  const { trace } = request;
  const create = spanCreator(trace, options);
  return [
    create(requestSpan(request, options)),
    create(admissionSpan(request, options)),
    ...trace.attempts.map((_, index) => create(attemptSpan(request, index, options))),
  ];
}

function requestSpan(request: TracedRequest, { openInference }: SpanOptions): SpanParts {
  const { trace, method, startMs, endMs, error, status } = request;
  const route = httpRoute(request);
  return {
    name: route === undefined ? method : `${method} ${route}`,
    kind: SpanKind.SERVER,
    spanId: trace.spanId,
    parentSpanId: trace.parentSpanId,
    isRemoteParent: true,
    startMs,
    endMs,
    attributes: { ...requestAttributes(request), ...(openInference && openInferenceRequest(request)) },
    // A server span does not fail by what the client did.
    failed: error !== undefined && !request.clientLeft && (status === undefined || status < 400 || status >= 500),
    events: [...guardrailEvents(request), ...settlementEvents(request)],
  };
}

function admissionSpan(request: TracedRequest, { drawId }: SpanOptions): SpanParts {
  const { trace, startMs, endMs } = request;
  return {
    name: 'admission',
    kind: SpanKind.INTERNAL,
    spanId: drawId(8),
    parentSpanId: trace.spanId,
    startMs,
    endMs: trace.attempts[0]?.startMs ?? endMs,
    attributes: admissionAttributes(request),
  };
}

function attemptSpan(request: TracedRequest, index: number, options: SpanOptions): SpanParts {
  const { trace, operation, model, method, stream, firstTokenMs } = request;
  const { spanId, startMs } = trace.attempts[index]!;
  const isLast = index === trace.attempts.length - 1;
  const durationMs = request.attempts?.[index]?.durationMs;
  const events =
    isLast && stream && firstTokenMs !== undefined
      ? [{ name: 'tallygate.first_token', timeMs: firstTokenMs, attributes: {} }]
      : [];
  return {
    name: operation === undefined ? method : [operation, model].filter((word) => word !== undefined).join(' '),
    kind: SpanKind.CLIENT,
    spanId,
    parentSpanId: trace.spanId,
    startMs,
    endMs: isLast || durationMs === undefined ? request.endMs : startMs + durationMs,
    attributes: {
      ...attemptAttributes(request, index, startMs, options),
      ...(isLast && request.content !== undefined && contentAttributes(request)),
      ...(options.openInference && operation !== undefined && openInferenceAttempt(request, isLast)),
    },
    failed: attemptError(request, index) !== undefined && !(isLast && request.clientLeft),
    events,
  };
}

function guardrailEvents({ guard, endMs }: TracedRequest): SpanEvent[] {
  const { rules = [], failures = [] } = guard ?? {};
  const found = rules.map(({ rule, action, findings }) => ({
    [attribute.guardrail]: rule,
    [attribute.guardrailAction]: action,
    'tallygate.guardrail.findings': Object.keys(findings),
    'tallygate.guardrail.count': Object.values(findings).reduce((sum, count) => sum + count, 0),
  }));
  const failed = failures.map(({ rule, reason }) => ({ [attribute.guardrail]: rule, [attribute.reason]: reason }));
  return [...found, ...failed]
    .slice(0, MAX_GUARDRAIL_EVENTS)
    .map((attributes) => ({ name: 'tallygate.guardrail', timeMs: endMs, attributes }));
}

/** The settlement takes no time of its own, so an event is enough. */
function settlementEvents({ usage, source, cost, overdrafts, endMs, undeliveredTokens }: TracedRequest): SpanEvent[] {
  if (usage === undefined) {
    return [];
  }
  const attributes = {
    'tallygate.charged.input_tokens': usage.input,
    'tallygate.charged.output_tokens': usage.output,
    'tallygate.undelivered_tokens': undeliveredTokens,
    [attribute.source]: source,
    'tallygate.cost': cost && currencyUnits(cost.nanos),
    [attribute.currency]: cost?.currency,
    ...(overdrafts.length > 0 && {
      'tallygate.overdraft.quotas': overdrafts.map(({ quota }) => quota),
      'tallygate.overdraft.amounts': overdrafts.map(({ amount }) => amount),
      'tallygate.overdraft.causes': overdrafts.map(({ cause }) => cause),
    }),
  };
  return [{ name: 'tallygate.settlement', timeMs: endMs, attributes }];
}

/** Spans of a trace that the sampler left out keep the flag that backends got. */
function spanCreator(trace: TracedRequest['trace'], { resource, scope }: SpanOptions) {
  const traceState = trace.traceState === undefined ? undefined : new TraceState(trace.traceState);
  const contextOf = (spanId: string, isRemote: boolean): SpanContext => ({
    traceId: trace.traceId,
    spanId,
    traceFlags: trace.sampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
    isRemote,
    ...(traceState !== undefined && { traceState }),
  });
  return (parts: SpanParts): ReadableSpan => {
    const { name, kind, spanId, parentSpanId, startMs, endMs, failed = false, events = [] } = parts;
    const context = contextOf(spanId, false);
    const status: SpanStatus = { code: failed ? SpanStatusCode.ERROR : SpanStatusCode.UNSET };
    return {
      name,
      kind,
      spanContext: () => context,
      ...(parentSpanId !== undefined && { parentSpanContext: contextOf(parentSpanId, parts.isRemoteParent === true) }),
      startTime: hrTime(startMs),
      endTime: hrTime(Math.max(startMs, endMs)),
      duration: hrTime(Math.max(0, endMs - startMs)),
      status,
      attributes: present(parts.attributes),
      links: [],
      events: events.map((event) => ({
        name: event.name,
        time: hrTime(event.timeMs),
        attributes: present(event.attributes),
        droppedAttributesCount: 0,
      })),
      ended: true,
      resource,
      instrumentationScope: scope,
      droppedAttributesCount: 0,
      droppedEventsCount: 0,
      droppedLinksCount: 0,
    };
  };
}

function present(attributes: SpanAttributes): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined)) as Attributes;
}

function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000);
  return [seconds, Math.floor((ms - seconds * 1000) * 1e6)];
}
