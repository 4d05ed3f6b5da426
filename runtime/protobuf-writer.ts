/**
 * Writes protobuf messages field by field, without an object for each. The serializer of
 * OpenTelemetry goes over all objects twice and takes twice as long.
 */
const FIRST_BYTES = 64 * 1024;
/** Native code writes longer texts faster than a loop. */
const MAX_LOOP_CHARACTERS = 48;
const MAX_UTF8_BYTES_A_UNIT = 3;
const MAX_VARINT_BYTES = 10;
const NANOS_A_SECOND = 1e9;

/** Wire types: https://protobuf.dev/programming-guides/encoding/#structure */
const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

/** The values of hexadecimal digits, by their codes. */
const HEX_VALUES = Uint8Array.from({ length: 128 }, (_, code) => {
  const value = Number.parseInt(String.fromCharCode(code), 16);
  return Number.isNaN(value) ? 0 : value;
});

export class ProtobufWriter {
  #bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #end = 0;

  /** Returns a copy of what was written, and begins anew. */
  take(): Uint8Array {
    const taken = Uint8Array.prototype.slice.call(this.#bytes, 0, this.#end);
    this.#end = 0;
    return taken;
  }

  /** Begins a message, and returns what `end` needs. */
  begin(field: number): number {
    this.#tag(field, LENGTH_DELIMITED);
    // Most lengths need one byte.
    this.#end++;
    return this.#end;
  }

  end(start: number): void {
    const length = this.#end - start;
    let more = 0;
    for (let rest = length; rest > 0x7f; rest >>>= 7) {
      more++;
    }
    if (more > 0) {
      this.#reserve(more);
      this.#bytes.copyWithin(start + more, start, this.#end);
    }
    this.#end = start - 1;
    this.#varint(length);
    this.#end += length;
  }

  string(field: number, text: string): void {
    const start = this.begin(field);
    this.#reserve(text.length * MAX_UTF8_BYTES_A_UNIT);
    if (text.length > MAX_LOOP_CHARACTERS || !this.#ascii(text)) {
      this.#end = start + this.#bytes.write(text, start, 'utf8');
    }
    this.end(start);
  }

  /** Writes bytes that are encoded fields already. */
  encoded(fields: Uint8Array): void {
    this.#reserve(fields.length);
    this.#bytes.set(fields, this.#end);
    this.#end += fields.length;
  }

  /** Writes bytes that are given as hexadecimal digits. */
  hex(field: number, digits: string): void {
    const start = this.begin(field);
    this.#reserve(digits.length / 2);
    const bytes = this.#bytes;
    // Ids are too short for a call of native code.
    for (let i = 0; i < digits.length; i += 2) {
      bytes[this.#end++] = (HEX_VALUES[digits.charCodeAt(i)]! << 4) | HEX_VALUES[digits.charCodeAt(i + 1)]!;
    }
    this.end(start);
  }

  /** Writes an int64, uint32, bool or enum. */
  integer(field: number, value: number): void {
    this.#tag(field, VARINT);
    this.#varint(value);
  }

  fixed32(field: number, value: number): void {
    this.#tag(field, FIXED32);
    this.#end = this.#bytes.writeUInt32LE(value >>> 0, this.#end);
  }

  /** Writes a count that 53 bits hold. */
  fixed64(field: number, value: number): void {
    this.#tag(field, FIXED64);
    this.#fixed64(value % 2 ** 32, Math.floor(value / 2 ** 32));
  }

  double(field: number, value: number): void {
    this.#tag(field, FIXED64);
    this.#end = this.#bytes.writeDoubleLE(value, this.#end);
  }

  /** Writes many values in one field. */
  packedFixed64(field: number, values: readonly number[]): void {
    const start = this.begin(field);
    this.#reserve(values.length * 8);
    for (const value of values) {
      this.#fixed64(value % 2 ** 32, Math.floor(value / 2 ** 32));
    }
    this.end(start);
  }

  packedDouble(field: number, values: readonly number[]): void {
    const start = this.begin(field);
    this.#reserve(values.length * 8);
    for (const value of values) {
      this.#end = this.#bytes.writeDoubleLE(value, this.#end);
    }
    this.end(start);
  }

  /** Writes a time as nanoseconds since 1970, which need more than 53 bits. */
  nanos(field: number, seconds: number, nanos: number): void {
    this.#tag(field, FIXED64);
    // A billion is 2^9 times this factor, so the product is exact until the year 2116.
    const product = seconds * (NANOS_A_SECOND / 512);
    const low = (product % 2 ** 23) * 512 + nanos;
    const carry = low >= 2 ** 32 ? 1 : 0;
    this.#fixed64(low - carry * 2 ** 32, Math.floor(product / 2 ** 23) + carry);
  }

  #fixed64(low: number, high: number): void {
    this.#end = this.#bytes.writeUInt32LE(low, this.#end);
    this.#end = this.#bytes.writeUInt32LE(high, this.#end);
  }

  /** Also has room for the rest of a field of fixed size, and for a length. */
  #tag(field: number, wireType: number): void {
    this.#reserve(2 * MAX_VARINT_BYTES);
    this.#varint((field << 3) | wireType);
  }

  #varint(value: number): void {
    const bytes = this.#bytes;
    if (value < 0) {
      this.#negative(value);
      return;
    }
    let rest = value;
    while (rest > 0x7fffffff) {
      bytes[this.#end++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    while (rest > 0x7f) {
      bytes[this.#end++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[this.#end++] = rest;
  }

  /** As two's complement in 64 bits. */
  #negative(value: number): void {
    let rest = BigInt.asUintN(64, BigInt(value));
    while (rest > 0x7fn) {
      this.#bytes[this.#end++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.#bytes[this.#end++] = Number(rest);
  }

  /** Returns false, with nothing written, for a text with other characters. */
  #ascii(text: string): boolean {
    const bytes = this.#bytes;
    const start = this.#end;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 0x7f) {
        return false;
      }
      bytes[start + i] = unit;
    }
    this.#end = start + text.length;
    return true;
  }

  #reserve(more: number): void {
    const needed = this.#end + more;
    if (needed <= this.#bytes.length) {
      return;
    }
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#bytes.length));
    this.#bytes.copy(grown, 0, 0, this.#end);
    this.#bytes = grown;
  }
}
