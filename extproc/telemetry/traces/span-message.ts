/**
 * Encodes spans as OTLP protobuf:
 * https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto
 */
import { SpanStatusCode, TraceFlags } from '@opentelemetry/api';
import type { InstrumentationScope } from '@opentelemetry/core';
import type { Resource } from '@opentelemetry/resources';
import { writeAttribute } from '../../../runtime/otlp-attributes.ts';
import { NOTHING_DROPPED, OtlpMessage } from '../otlp-message.ts';
import type { PutAttribute } from './span-attributes.ts';
import type { FinishedSpan, SpanEvent } from './spans.ts';

/** Bits of `Span.flags` that say whether the parent is in another process. */
const HAS_IS_REMOTE = 0x100;
const IS_REMOTE = 0x200;

/** Collects spans for an `ExportTraceServiceRequest`. */
export class SpanMessage extends OtlpMessage {
  readonly #put: PutAttribute;
  readonly #putOfEvent: PutAttribute;

  constructor(resource: Resource, scope: InstrumentationScope) {
    super(resource, scope);
    this.#put = (name, value) => writeAttribute(this.writer, 9, name, value);
    this.#putOfEvent = (name, value) => writeAttribute(this.writer, 3, name, value);
  }

  add(span: FinishedSpan): void {
    const start = this.begin();
    const { writer } = this;
    const { trace } = span;
    writer.hex(1, trace.traceId);
    writer.hex(2, span.spanId);
    if (trace.traceState !== undefined) {
      writer.string(3, trace.traceState);
    }
    if (span.parentSpanId !== undefined) {
      writer.hex(4, span.parentSpanId);
    }
    writer.string(5, span.name);
    // OTLP counts from "unspecified".
    writer.integer(6, span.kind + 1);
    this.time(7, span.startMs);
    this.time(8, Math.max(span.startMs, span.endMs));
    span.attributes(this.#put);
    writer.integer(10, NOTHING_DROPPED);
    for (const event of span.events) {
      this.#event(event);
    }
    writer.integer(12, NOTHING_DROPPED);
    writer.integer(14, NOTHING_DROPPED);
    const status = writer.begin(15);
    writer.integer(3, span.failed ? SpanStatusCode.ERROR : SpanStatusCode.UNSET);
    writer.end(status);
    const flags = trace.sampled ? TraceFlags.SAMPLED : TraceFlags.NONE;
    writer.fixed32(16, flags | HAS_IS_REMOTE | (span.isRemoteParent ? IS_REMOTE : 0));
    writer.end(start);
  }

  #event({ name, timeMs, attributes }: SpanEvent): void {
    const { writer } = this;
    const start = writer.begin(11);
    this.time(1, timeMs);
    writer.string(2, name);
    attributes(this.#putOfEvent);
    writer.integer(4, NOTHING_DROPPED);
    writer.end(start);
  }
}
