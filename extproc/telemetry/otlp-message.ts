/**
 * A message with spans or log records of one resource and one scope, as OTLP protobuf
 * (https://github.com/open-telemetry/opentelemetry-proto), in a third of the time that the objects
 * and the serializers of OpenTelemetry's SDK take.
 */
import type { HrTime } from '@opentelemetry/api';
import type { InstrumentationScope } from '@opentelemetry/core';
import type { Resource } from '@opentelemetry/resources';
import { writeAttribute } from '../../runtime/otlp-attributes.ts';
import { ProtobufWriter } from '../../runtime/protobuf-writer.ts';

/** Counts of what was lost; the SDK writes them, too. */
export const NOTHING_DROPPED = 0;

export abstract class OtlpMessage {
  protected readonly writer = new ProtobufWriter();
  readonly #resource: Resource;
  readonly #scope: InstrumentationScope;
  #open: readonly [ofResource: number, ofScope: number] | undefined;

  constructor(resource: Resource, scope: InstrumentationScope) {
    this.#resource = resource;
    this.#scope = scope;
  }

  /** Returns the message, and begins a new one. */
  take(): Uint8Array {
    if (this.#open !== undefined) {
      const [ofResource, ofScope] = this.#open;
      this.writer.end(ofScope);
      this.writer.end(ofResource);
      this.#open = undefined;
    }
    return this.writer.take();
  }

  /** Begins a span or a log record; the caller ends it. */
  protected begin(): number {
    this.#open ??= this.#beginScope();
    return this.writer.begin(2);
  }

  protected time(field: number, ms: number): void {
    const [seconds, nanos] = hrTime(ms);
    this.writer.nanos(field, seconds, nanos);
  }

  #beginScope(): readonly [number, number] {
    const { writer } = this;
    const ofResource = writer.begin(1);
    const resource = writer.begin(1);
    for (const [name, value] of Object.entries(this.#resource.attributes)) {
      writeAttribute(writer, 1, name, value);
    }
    writer.integer(2, NOTHING_DROPPED);
    writer.end(resource);
    const ofScope = writer.begin(2);
    const scope = writer.begin(1);
    writer.string(1, this.#scope.name);
    if (this.#scope.version !== undefined) {
      writer.string(2, this.#scope.version);
    }
    writer.end(scope);
    return [ofResource, ofScope];
  }
}

export function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000);
  return [seconds, Math.floor((ms - seconds * 1000) * 1e6)];
}
