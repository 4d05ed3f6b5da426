/**
 * Builds the spans of a request that has ended: one for the request, and below it one for its
 * admission, one for each call of a guardrail's service and one for each attempt at a backend.
 * Pure.
 */
import { SpanKind } from '@opentelemetry/api';
import { currencyUnits } from '../../../contract/money.ts';
import type { GuardCall } from '../../record.ts';
import { attribute } from '../names.ts';
import { putOpenInferenceAttempt, putOpenInferenceRequest } from './open-inference.ts';
import {
  attemptError,
  httpRoute,
  type PutAttribute,
  putAdmission,
  putAttempt,
  putContent,
  putGuardCall,
  putRequest,
  type SpanNaming,
} from './span-attributes.ts';
import type { TracedRequest } from './traced-request.ts';

export interface SpanOptions extends SpanNaming {
  readonly drawId: (bytes: number) => string;
}

/** A span before its encoding. */
export interface FinishedSpan {
  readonly trace: TracedRequest['trace'];
  readonly name: string;
  readonly kind: SpanKind;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  /** Whether the parent is a span of the client. */
  readonly isRemoteParent: boolean;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: AttributeSource;
  readonly failed: boolean;
  readonly events: readonly SpanEvent[];
}

/** Puts attributes where they are encoded: an object for them would cost more than the encoding. */
type AttributeSource = (put: PutAttribute) => void;

export interface SpanEvent {
  readonly name: string;
  readonly timeMs: number;
  readonly attributes: AttributeSource;
}

/** The number of events that one span of a request may have. */
const MAX_GUARDRAIL_EVENTS = 100;

export function spansOf(request: TracedRequest, options: SpanOptions): FinishedSpan[] {
  return [
    requestSpan(request, options),
    admissionSpan(request, options),
    ...(request.guard?.calls?.first.map((call) => guardCallSpan(request, call, options)) ?? []),
    ...request.trace.attempts.map((_, index) => attemptSpan(request, index, options)),
  ];
}

function requestSpan(request: TracedRequest, { openInference }: SpanOptions): FinishedSpan {
  const { trace, method, startMs, endMs, error, status } = request;
  const route = httpRoute(request);
  return {
    trace,
    name: route === undefined ? method : `${method} ${route}`,
    kind: SpanKind.SERVER,
    spanId: trace.spanId,
    parentSpanId: trace.parentSpanId,
    isRemoteParent: trace.parentSpanId !== undefined,
    startMs,
    endMs,
    attributes: (put) => {
      putRequest(put, request);
      if (openInference) {
        putOpenInferenceRequest(put, request);
      }
    },
    // A server span does not fail by what the client did.
    failed: error !== undefined && !request.clientLeft && (status === undefined || status < 400 || status >= 500),
    events: [...guardrailEvents(request), ...settlementEvents(request)],
  };
}

function admissionSpan(request: TracedRequest, { drawId }: SpanOptions): FinishedSpan {
  const { trace, startMs, endMs } = request;
  return {
    trace,
    name: 'admission',
    kind: SpanKind.INTERNAL,
    spanId: drawId(8),
    parentSpanId: trace.spanId,
    isRemoteParent: false,
    startMs,
    endMs: trace.attempts[0]?.startMs ?? endMs,
    attributes: (put) => putAdmission(put, request),
    failed: false,
    events: [],
  };
}

function guardCallSpan({ trace }: TracedRequest, call: GuardCall, { drawId }: SpanOptions): FinishedSpan {
  return {
    trace,
    name: `guardrail ${call.rule}`,
    kind: SpanKind.CLIENT,
    spanId: drawId(8),
    parentSpanId: trace.spanId,
    isRemoteParent: false,
    startMs: call.startMs,
    endMs: call.endMs,
    attributes: (put) => putGuardCall(put, call),
    failed: call.error !== undefined,
    events: [],
  };
}

function attemptSpan(request: TracedRequest, index: number, options: SpanOptions): FinishedSpan {
  const { trace, operation, model, method, stream, firstTokenMs } = request;
  const { spanId, startMs } = trace.attempts[index]!;
  const isLast = index === trace.attempts.length - 1;
  const durationMs = request.attempts?.[index]?.durationMs;
  const hasFirstToken = isLast && stream && firstTokenMs !== undefined;
  return {
    trace,
    name: operation === undefined ? method : model === undefined ? operation : `${operation} ${model}`,
    kind: SpanKind.CLIENT,
    spanId,
    parentSpanId: trace.spanId,
    isRemoteParent: false,
    startMs,
    endMs: isLast || durationMs === undefined ? request.endMs : startMs + durationMs,
    attributes: (put) => {
      putAttempt(put, request, index, options);
      if (isLast && request.content !== undefined) {
        putContent(put, request);
      }
      if (options.openInference && operation !== undefined) {
        putOpenInferenceAttempt(put, request, isLast);
      }
    },
    failed: attemptError(request, index) !== undefined && !(isLast && request.clientLeft),
    events: hasFirstToken ? [{ name: 'tallygate.first_token', timeMs: firstTokenMs, attributes: () => {} }] : [],
  };
}

function guardrailEvents({ guard, endMs }: TracedRequest): SpanEvent[] {
  if (guard === undefined) {
    return [];
  }
  const found = guard.rules.map(({ rule, action, findings }) => (put: PutAttribute) => {
    put(attribute.guardrail, rule);
    put(attribute.guardrailAction, action);
    put('tallygate.guardrail.findings', Object.keys(findings));
    put(
      'tallygate.guardrail.count',
      Object.values(findings).reduce((sum, count) => sum + count, 0),
    );
  });
  const failed = guard.failures.map(({ rule, reason }) => (put: PutAttribute) => {
    put(attribute.guardrail, rule);
    put(attribute.reason, reason);
  });
  return [...found, ...failed]
    .slice(0, MAX_GUARDRAIL_EVENTS)
    .map((attributes) => ({ name: 'tallygate.guardrail', timeMs: endMs, attributes }));
}

/** The settlement takes no time of its own, so an event is enough. */
function settlementEvents({ usage, source, cost, overdrafts, endMs, undeliveredTokens }: TracedRequest): SpanEvent[] {
  if (usage === undefined) {
    return [];
  }
  const attributes = (put: PutAttribute) => {
    put('tallygate.charged.input_tokens', usage.input);
    put('tallygate.charged.output_tokens', usage.output);
    put('tallygate.undelivered_tokens', undeliveredTokens);
    put(attribute.source, source);
    put('tallygate.cost', cost && currencyUnits(cost.nanos));
    put(attribute.currency, cost?.currency);
    if (overdrafts.length > 0) {
      put(
        'tallygate.overdraft.quotas',
        overdrafts.map(({ quota }) => quota),
      );
      put(
        'tallygate.overdraft.amounts',
        overdrafts.map(({ amount }) => amount),
      );
      put(
        'tallygate.overdraft.causes',
        overdrafts.map(({ cause }) => cause),
      );
    }
  };
  return [{ name: 'tallygate.settlement', timeMs: endMs, attributes }];
}
