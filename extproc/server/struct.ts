/** Encodes `google.protobuf.Struct`. Rare and small, so it is written from nested buffers. */
import type { MetadataStruct, MetadataValue } from '../exchange.ts';
import { bytesTag, varintLength, writeVarint } from './protobuf.ts';

const MAP_KEY = 1;
const MAP_VALUE = 2;
const STRING_VALUE = 3;
const STRUCT_VALUE = 5;
const LIST_VALUE = 6;

export function encodeStruct(struct: MetadataStruct): Buffer {
  return Buffer.concat(
    Object.entries(struct).map(([name, value]) =>
      field(1, field(MAP_KEY, Buffer.from(name)), field(MAP_VALUE, encodeValue(value))),
    ),
  );
}

function encodeValue(value: MetadataValue): Buffer {
  if (typeof value === 'string') {
    return field(STRING_VALUE, Buffer.from(value));
  }
  return isList(value)
    ? field(LIST_VALUE, ...value.map((item) => field(1, encodeValue(item))))
    : field(STRUCT_VALUE, encodeStruct(value));
}

function isList(value: MetadataStruct | readonly MetadataValue[]): value is readonly MetadataValue[] {
  return Array.isArray(value);
}

function field(number: number, ...parts: readonly Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const head = Buffer.allocUnsafe(1 + varintLength(length));
  head[0] = bytesTag(number);
  writeVarint(head, 1, length);
  return Buffer.concat([head, ...parts]);
}
