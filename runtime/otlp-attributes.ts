/** Attributes in OTLP: https://github.com/open-telemetry/opentelemetry-proto */
import { ProtobufWriter } from './protobuf-writer.ts';

/**
 * Writes a `KeyValue`; an undefined value is left out. The names of members of objects are
 * constants, as those of attributes.
 */
export function writeAttribute(writer: ProtobufWriter, field: number, name: string, value: unknown): void {
  if (value !== undefined) {
    writePair(writer, field, name, value);
  }
}

function writePair(writer: ProtobufWriter, field: number, name: string, value: unknown): void {
  const pair = writer.begin(field);
  writer.encoded(encodedName(name));
  writeAnyValue(writer, 2, value);
  writer.end(pair);
}

function writeAnyValue(writer: ProtobufWriter, field: number, value: unknown): void {
  const start = writer.begin(field);
  if (typeof value === 'string') {
    writer.string(1, value);
  } else if (typeof value === 'boolean') {
    writer.integer(2, value ? 1 : 0);
  } else if (typeof value === 'number') {
    if (Number.isSafeInteger(value)) {
      writer.integer(3, value);
    } else {
      writer.double(4, value);
    }
  } else if (Array.isArray(value)) {
    const list = writer.begin(5);
    for (const item of value) {
      writeAnyValue(writer, 1, item);
    }
    writer.end(list);
  } else if (typeof value === 'object' && value !== null) {
    const members = writer.begin(6);
    for (const [name, member] of Object.entries(value)) {
      writePair(writer, 1, name, member);
    }
    writer.end(members);
  }
  writer.end(start);
}

/** Names are constants of the code, so there are few. */
const encodedNames = new Map<string, Uint8Array>();

function encodedName(name: string): Uint8Array {
  let encoded = encodedNames.get(name);
  if (encoded === undefined) {
    const writer = new ProtobufWriter();
    writer.string(1, name);
    encoded = writer.take();
    encodedNames.set(name, encoded);
  }
  return encoded;
}
