/**
 * Encodes spans as OTLP protobuf
 * (https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto),
 * in a third of the time that the objects and the serializer of OpenTelemetry's SDK take.
 */
import { SpanStatusCode, TraceFlags } from '@opentelemetry/api';
import type { InstrumentationScope } from '@opentelemetry/core';
import type { Resource } from '@opentelemetry/resources';
import { writeAttribute } from '../../../runtime/otlp-attributes.ts';
import { ProtobufWriter } from '../../../runtime/protobuf-writer.ts';
import type { PutAttribute } from './span-attributes.ts';
import type { FinishedSpan, SpanEvent } from './spans.ts';

/** Bits of `Span.flags` that say whether the parent is in another process. */
const HAS_IS_REMOTE = 0x100;
const IS_REMOTE = 0x200;

/** Counts of what a span lost; the SDK writes them, too. */
const NOTHING_DROPPED = 0;

/** Collects spans for an `ExportTraceServiceRequest`. */
export class SpanMessage {
  readonly #writer = new ProtobufWriter();
  readonly #resource: Resource;
  readonly #scope: InstrumentationScope;
  readonly #put: PutAttribute;
  readonly #putOfEvent: PutAttribute;
  #open: readonly [resourceSpans: number, scopeSpans: number] | undefined;

  constructor(resource: Resource, scope: InstrumentationScope) {
    this.#resource = resource;
    this.#scope = scope;
    this.#put = (name, value) => writeAttribute(this.#writer, 9, name, value);
    this.#putOfEvent = (name, value) => writeAttribute(this.#writer, 3, name, value);
  }

  add(span: FinishedSpan): void {
    this.#open ??= this.#begin();
    const writer = this.#writer;
    const { trace } = span;
    const start = writer.begin(2);
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
    this.#time(7, span.startMs);
    this.#time(8, Math.max(span.startMs, span.endMs));
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

  /** Returns the request, and begins a new one. */
  take(): Uint8Array {
    if (this.#open !== undefined) {
      const [resourceSpans, scopeSpans] = this.#open;
      this.#writer.end(scopeSpans);
      this.#writer.end(resourceSpans);
      this.#open = undefined;
    }
    return this.#writer.take();
  }

  #begin(): readonly [number, number] {
    const writer = this.#writer;
    const resourceSpans = writer.begin(1);
    const resource = writer.begin(1);
    for (const [name, value] of Object.entries(this.#resource.attributes)) {
      writeAttribute(writer, 1, name, value);
    }
    writer.integer(2, NOTHING_DROPPED);
    writer.end(resource);
    const scopeSpans = writer.begin(2);
    const scope = writer.begin(1);
    writer.string(1, this.#scope.name);
    if (this.#scope.version !== undefined) {
      writer.string(2, this.#scope.version);
    }
    writer.end(scope);
    return [resourceSpans, scopeSpans];
  }

  #event({ name, timeMs, attributes }: SpanEvent): void {
    const writer = this.#writer;
    const start = writer.begin(11);
    this.#time(1, timeMs);
    writer.string(2, name);
    attributes(this.#putOfEvent);
    writer.integer(4, NOTHING_DROPPED);
    writer.end(start);
  }

  #time(field: number, ms: number): void {
    const seconds = Math.floor(ms / 1000);
    this.#writer.nanos(field, seconds, Math.floor((ms - seconds * 1000) * 1e6));
  }
}
