/**
 * The part of the protobuf wire format that the codec needs: varints, tags and skipping, on byte
 * ranges and without allocation.
 */

/** Bytes that are not the expected message. Fails only the stream that they came on. */
export class MalformedMessage extends Error {
  override readonly name = 'MalformedMessage';
}

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

/**
 * A position in a byte range. One cursor serves a message with its nested messages, which lie
 * inside each other.
 */
export class Cursor {
  bytes: Uint8Array = new Uint8Array(0);
  at = 0;
  end = 0;

  reset(bytes: Uint8Array, start: number, end: number): void {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
  }

  /** Reads a number below 2^32: a tag or a length. Larger numbers are malformed here. */
  uint32(): number {
    const { bytes, end } = this;
    const at = this.at;
    // Nearly all numbers have one or two bytes.
    if (at + 1 < end) {
      const first = bytes[at]!;
      if (first < 0x80) {
        this.at = at + 1;
        return first;
      }
      const second = bytes[at + 1]!;
      if (second < 0x80) {
        this.at = at + 2;
        return (first & 0x7f) | (second << 7);
      }
    }
    return this.#longUint32();
  }

  #longUint32(): number {
    let value = 0;
    for (let factor = 1; factor < 2 ** 35 && this.at < this.end; factor *= 128) {
      const byte = this.bytes[this.at++]!;
      value += (byte & 0x7f) * factor;
      if (byte >= 0x80) {
        continue;
      }
      if (value > 0xffffffff) {
        throw new MalformedMessage('number too large');
      }
      return value;
    }
    throw new MalformedMessage('invalid varint');
  }

  /** Reads a field's tag; most have one byte. */
  tag(): number {
    const first = this.at < this.end ? this.bytes[this.at]! : 0x80;
    if (first >= 0x80) {
      return this.uint32();
    }
    this.at++;
    return first;
  }

  /** Reads a boolean, which may be any varint of up to ten bytes. */
  bool(): boolean {
    let set = false;
    for (let count = 0; count < 10 && this.at < this.end; count++) {
      const byte = this.bytes[this.at++]!;
      if ((byte & 0x7f) !== 0) {
        set = true;
      }
      if (byte < 0x80) {
        return set;
      }
    }
    throw new MalformedMessage('invalid varint');
  }

  /**
   * Returns the end of the length-delimited value that begins here, and moves to its first byte.
   */
  range(): number {
    const length = this.uint32();
    const end = this.at + length;
    if (end > this.end) {
      throw new MalformedMessage('length exceeds the message');
    }
    return end;
  }

  /** Skips the value of an unknown field. Groups are refused: no proto3 peer sends them. */
  skip(tag: number): void {
    if (tag >>> 3 === 0) {
      throw new MalformedMessage('field number 0');
    }
    switch (tag & 7) {
      case VARINT:
        this.bool();
        return;
      case FIXED64:
        this.#advance(8);
        return;
      case LENGTH_DELIMITED:
        this.at = this.range();
        return;
      case FIXED32:
        this.#advance(4);
        return;
      default:
        throw new MalformedMessage('unknown wire type');
    }
  }

  #advance(count: number): void {
    this.at += count;
    if (this.at > this.end) {
      throw new MalformedMessage('value exceeds the message');
    }
  }
}

/** Returns the tag of a length-delimited field. */
export function bytesTag(field: number): number {
  return (field << 3) | LENGTH_DELIMITED;
}

export function varintTag(field: number): number {
  return (field << 3) | VARINT;
}

export function varintLength(value: number): number {
  if (value < 0x80) {
    return 1;
  }
  if (value < 0x4000) {
    return 2;
  }
  if (value < 0x200000) {
    return 3;
  }
  return value < 0x10000000 ? 4 : 5;
}

/** Writes `value` (below 2^31) and returns the offset after it. */
export function writeVarint(target: Uint8Array, at: number, value: number): number {
  let rest = value;
  let position = at;
  while (rest >= 0x80) {
    target[position++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  target[position++] = rest;
  return position;
}

/**
 * Returns the size of a length-delimited field with a one-byte tag and a value of `length` bytes.
 */
export function fieldLength(length: number): number {
  return 1 + varintLength(length) + length;
}
