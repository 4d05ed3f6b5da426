/** Spans as OpenTelemetry's SDK has them, for the exporter of OTLP as JSON. */
import { type Attributes, type AttributeValue, type SpanContext, SpanStatusCode, TraceFlags } from '@opentelemetry/api';
import { type InstrumentationScope, TraceState } from '@opentelemetry/core';
import type { Resource } from '@opentelemetry/resources';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import { hrTime } from '../otlp-message.ts';
import type { FinishedSpan, SpanEvent } from './spans.ts';

export function readableSpan(span: FinishedSpan, resource: Resource, scope: InstrumentationScope): ReadableSpan {
  const { trace, name, kind, spanId, parentSpanId, startMs, endMs, failed, events } = span;
  const traceState = trace.traceState === undefined ? undefined : new TraceState(trace.traceState);
  const contextOf = (id: string, isRemote: boolean): SpanContext => ({
    traceId: trace.traceId,
    spanId: id,
    // Spans of a trace that the sampler left out keep the flag that backends got.
    traceFlags: trace.sampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
    isRemote,
    ...(traceState !== undefined && { traceState }),
  });
  const context = contextOf(spanId, false);
  return {
    name,
    kind,
    spanContext: () => context,
    ...(parentSpanId !== undefined && { parentSpanContext: contextOf(parentSpanId, span.isRemoteParent) }),
    startTime: hrTime(startMs),
    endTime: hrTime(Math.max(startMs, endMs)),
    duration: hrTime(Math.max(0, endMs - startMs)),
    status: { code: failed ? SpanStatusCode.ERROR : SpanStatusCode.UNSET },
    attributes: attributesOf(span),
    links: [],
    events: events.map((event) => ({
      name: event.name,
      time: hrTime(event.timeMs),
      attributes: attributesOf(event),
      droppedAttributesCount: 0,
    })),
    ended: true,
    resource,
    instrumentationScope: scope,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}

function attributesOf(source: FinishedSpan | SpanEvent): Attributes {
  const attributes: Record<string, AttributeValue> = {};
  source.attributes((name, value) => {
    if (value !== undefined) {
      attributes[name] = value;
    }
  });
  return attributes;
}
