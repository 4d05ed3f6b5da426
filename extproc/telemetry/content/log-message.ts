/**
 * Encodes content as log records of OTLP protobuf:
 * https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/logs/v1/logs.proto
 */
import { SeverityNumber } from '@opentelemetry/api';
import { writeAttribute } from '../../../runtime/otlp-attributes.ts';
import { NOTHING_DROPPED, OtlpMessage } from '../otlp-message.ts';
import type { ContentEntry } from './entry.ts';

/** The event of the conventions that has prompts and answers. */
export const EVENT_NAME = 'gen_ai.client.inference.operation.details';
export const SEVERITY = 'INFO';

export class LogMessage extends OtlpMessage {
  add({ id, timeMs, span, attributes, instructions, input, output }: ContentEntry): void {
    const start = this.begin();
    const { writer } = this;
    this.time(1, timeMs);
    writer.integer(2, SeverityNumber.INFO);
    writer.string(3, SEVERITY);
    for (const [name, value] of Object.entries(attributes)) {
      this.#put(name, value);
    }
    this.#put('tallygate.content.id', id);
    this.#put('gen_ai.system_instructions', instructions);
    this.#put('gen_ai.input.messages', input);
    this.#put('gen_ai.output.messages', output);
    writer.integer(7, NOTHING_DROPPED);
    if (span !== undefined) {
      if (span.traceFlags > 0) {
        writer.fixed32(8, span.traceFlags);
      }
      writer.hex(9, span.traceId);
      writer.hex(10, span.spanId);
    }
    this.time(11, timeMs);
    writer.string(12, EVENT_NAME);
    writer.end(start);
  }

  #put(name: string, value: unknown): void {
    writeAttribute(this.writer, 6, name, value);
  }
}
