/**
 * Reads one message of an AWS event stream:
 * https://smithy.io/2.0/aws/amazon-eventstream.html
 */
import { crc32 } from 'node:zlib';

/** Two lengths and their checksum. */
const PRELUDE_BYTES = 12;
const CHECKSUM_BYTES = 4;
const STRING_TYPE = 7;

/** The bytes of header values of the types 0 to 9; undefined: the value has its own length. */
const VALUE_BYTES: readonly (number | undefined)[] = [0, 0, 1, 2, 4, 8, undefined, undefined, 8, 16];

/** Data that no decoder can read. */
const UNREADABLE = '';

/**
 * Returns what a message says as `{"TYPE": PAYLOAD}`, where TYPE is that of its event or exception.
 * Undefined where the message is incomplete.
 */
export function dataOfMessage(bytes: Uint8Array): string | undefined {
  const message = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (message.length < PRELUDE_BYTES + CHECKSUM_BYTES || message.length < message.readUInt32BE(0)) {
    return undefined;
  }
  const end = message.length - CHECKSUM_BYTES;
  const payloadAt = PRELUDE_BYTES + message.readUInt32BE(4);
  const whole = message.readUInt32BE(0) === message.length && payloadAt <= end;
  if (!whole || crc32(message.subarray(0, end)) !== message.readUInt32BE(end)) {
    return UNREADABLE;
  }
  const headers = readHeaders(message.subarray(PRELUDE_BYTES, payloadAt));
  if (headers === undefined) {
    return UNREADABLE;
  }
  if (headers.get(':message-type') === 'error') {
    return JSON.stringify({ [headers.get(':error-code') ?? '']: { message: headers.get(':error-message') } });
  }
  const type = headers.get(':event-type') ?? headers.get(':exception-type');
  return type === undefined ? UNREADABLE : `{${JSON.stringify(type)}:${message.toString('utf8', payloadAt, end)}}`;
}

/** Returns the headers whose values are strings; undefined if they break the format. */
function readHeaders(bytes: Buffer): ReadonlyMap<string, string> | undefined {
  const headers = new Map<string, string>();
  let at = 0;
  while (at < bytes.length) {
    const nameEnd = at + 1 + bytes[at]!;
    const type = bytes[nameEnd];
    const fixed = VALUE_BYTES[type ?? VALUE_BYTES.length];
    let valueAt = nameEnd + 1;
    if (type === undefined || type >= VALUE_BYTES.length || (fixed === undefined && valueAt + 2 > bytes.length)) {
      return undefined;
    }
    let length = fixed ?? 0;
    if (fixed === undefined) {
      length = bytes.readUInt16BE(valueAt);
      valueAt += 2;
    }
    if (valueAt + length > bytes.length) {
      return undefined;
    }
    if (type === STRING_TYPE) {
      headers.set(bytes.toString('utf8', at + 1, nameEnd), bytes.toString('utf8', valueAt, valueAt + length));
    }
    at = valueAt + length;
  }
  return headers;
}
