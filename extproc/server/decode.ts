/**
 * Decodes `envoy.service.ext_proc.v3.ProcessingRequest`. The field numbers are those of
 * `protos/envoy/service/ext_proc/v3/external_processor.proto`.
 */

import type { HeaderList } from '../exchange.ts';
import { bytesTag, Cursor, varintTag } from './protobuf.ts';

export type RequestKind =
  | 'request-headers'
  | 'response-headers'
  | 'request-body'
  | 'response-body'
  | 'request-trailers'
  | 'response-trailers'
  | 'none';

/** A decoded message. The record is reused: its values are valid until the next call. */
export interface ProcessingRequest {
  kind: RequestKind;
  headers: HeaderList;
  endOfStream: boolean;
  /** The range of the body in the decoded bytes. */
  bodyStart: number;
  bodyEnd: number;
  attributes: ReadonlyMap<string, string>;
}

const NO_HEADERS: HeaderList = [];
const NO_ATTRIBUTES: ReadonlyMap<string, string> = new Map();

export function emptyRequest(): ProcessingRequest {
  return {
    kind: 'none',
    headers: NO_HEADERS,
    endOfStream: false,
    bodyStart: 0,
    bodyEnd: 0,
    attributes: NO_ATTRIBUTES,
  };
}

const REQUEST_HEADERS = bytesTag(2);
const RESPONSE_HEADERS = bytesTag(3);
const REQUEST_BODY = bytesTag(4);
const RESPONSE_BODY = bytesTag(5);
const REQUEST_TRAILERS = bytesTag(6);
const RESPONSE_TRAILERS = bytesTag(7);
const ATTRIBUTES = bytesTag(9);
const MAP_KEY = bytesTag(1);
const MAP_VALUE = bytesTag(2);

const cursor = new Cursor();
/** Attributes of the current message: one map, although each filter sends an entry of its own. */
let collected: Map<string, string> | undefined;

/**
 * Decodes one message. Throws `MalformedMessage`. The last member of a oneof wins, as in protobuf.
 */
export function decodeRequest(bytes: Buffer, start: number, end: number, into: ProcessingRequest): void {
  into.kind = 'none';
  into.headers = NO_HEADERS;
  into.endOfStream = false;
  into.bodyStart = 0;
  into.bodyEnd = 0;
  into.attributes = NO_ATTRIBUTES;
  collected = undefined;
  cursor.reset(bytes, start, end);
  while (cursor.at < end) {
    const tag = cursor.tag();
    switch (tag) {
      case RESPONSE_BODY:
        readBody('response-body', into);
        break;
      case REQUEST_BODY:
        readBody('request-body', into);
        break;
      case REQUEST_HEADERS:
        readHeaders('request-headers', bytes, into);
        break;
      case RESPONSE_HEADERS:
        readHeaders('response-headers', bytes, into);
        break;
      case REQUEST_TRAILERS:
        cursor.at = cursor.range();
        into.kind = 'request-trailers';
        break;
      case RESPONSE_TRAILERS:
        cursor.at = cursor.range();
        into.kind = 'response-trailers';
        break;
      case ATTRIBUTES:
        readAttributes(bytes, into);
        break;
      default:
        cursor.skip(tag);
    }
    cursor.end = end;
  }
}

function readBody(kind: RequestKind, into: ProcessingRequest): void {
  const end = cursor.range();
  cursor.end = end;
  into.kind = kind;
  into.endOfStream = false;
  into.bodyStart = end;
  into.bodyEnd = end;
  while (cursor.at < end) {
    const tag = cursor.tag();
    if (tag === bytesTag(1)) {
      into.bodyEnd = cursor.range();
      into.bodyStart = cursor.at;
      cursor.at = into.bodyEnd;
    } else if (tag === varintTag(2)) {
      into.endOfStream = cursor.bool();
    } else {
      cursor.skip(tag);
    }
  }
}

function readHeaders(kind: RequestKind, bytes: Buffer, into: ProcessingRequest): void {
  const end = cursor.range();
  cursor.end = end;
  into.kind = kind;
  into.endOfStream = false;
  const headers: (readonly [string, string])[] = [];
  // One conversion for the whole message: a native call per name and value costs more than the rest
  // of the decoding.
  const offset = cursor.at;
  const text = bytes.toString('latin1', offset, end);
  while (cursor.at < end) {
    const tag = cursor.tag();
    if (tag === bytesTag(1)) {
      const mapEnd = cursor.range();
      cursor.end = mapEnd;
      while (cursor.at < mapEnd) {
        const inner = cursor.tag();
        if (inner === bytesTag(1)) {
          headers.push(readHeader(text, offset));
        } else {
          cursor.skip(inner);
        }
        cursor.end = mapEnd;
      }
      cursor.end = end;
    } else if (tag === varintTag(3)) {
      into.endOfStream = cursor.bool();
    } else {
      cursor.skip(tag);
    }
  }
  into.headers = headers;
}

/** `value` is the older form; `raw_value` wins over it. */
function readHeader(text: string, offset: number): readonly [string, string] {
  const end = cursor.range();
  cursor.end = end;
  let name = '';
  let value = '';
  let raw = '';
  while (cursor.at < end) {
    const tag = cursor.tag();
    if (tag !== bytesTag(1) && tag !== bytesTag(2) && tag !== bytesTag(3)) {
      cursor.skip(tag);
      continue;
    }
    const stop = cursor.range();
    const part = text.substring(cursor.at - offset, stop - offset);
    cursor.at = stop;
    if (tag === bytesTag(1)) {
      name = part;
    } else if (tag === bytesTag(2)) {
      value = part;
    } else {
      raw = part;
    }
  }
  return [name, raw === '' ? value : raw];
}

/**
 * Reads `map<string, Struct>`: the string values of all filters' structs. Other value types are
 * ignored.
 */
function readAttributes(bytes: Buffer, into: ProcessingRequest): void {
  collected ??= new Map();
  into.attributes = collected;
  const end = cursor.range();
  cursor.end = end;
  while (cursor.at < end) {
    const tag = cursor.tag();
    if (tag === MAP_VALUE) {
      readStruct(bytes, collected);
    } else {
      cursor.skip(tag);
    }
    cursor.end = end;
  }
}

function readStruct(bytes: Buffer, attributes: Map<string, string>): void {
  const end = cursor.range();
  cursor.end = end;
  while (cursor.at < end) {
    const tag = cursor.tag();
    if (tag === bytesTag(1)) {
      readField(bytes, attributes);
    } else {
      cursor.skip(tag);
    }
    cursor.end = end;
  }
}

function readField(bytes: Buffer, attributes: Map<string, string>): void {
  const end = cursor.range();
  cursor.end = end;
  let name = '';
  let value: string | undefined;
  while (cursor.at < end) {
    const tag = cursor.tag();
    if (tag === MAP_KEY) {
      const stop = cursor.range();
      name = bytes.toString('utf8', cursor.at, stop);
      cursor.at = stop;
    } else if (tag === MAP_VALUE) {
      value = readString(bytes);
      cursor.end = end;
    } else {
      cursor.skip(tag);
    }
  }
  if (value !== undefined) {
    attributes.set(name, value);
  }
}

/** Reads a `google.protobuf.Value` if it is a string. */
function readString(bytes: Buffer): string | undefined {
  const end = cursor.range();
  cursor.end = end;
  let value: string | undefined;
  while (cursor.at < end) {
    const tag = cursor.tag();
    if (tag === bytesTag(3)) {
      const stop = cursor.range();
      value = bytes.toString('utf8', cursor.at, stop);
      cursor.at = stop;
    } else {
      cursor.skip(tag);
    }
  }
  return value;
}
