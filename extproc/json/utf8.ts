import { isUtf8 } from 'node:buffer';

/** Up to this length a loop that finds only ASCII costs less than the native check. */
const SMALL_BYTES = 512;

/** Checks that a text in pieces, cut anywhere, is UTF-8. */
export class Utf8Check {
  /** An incomplete sequence at the end of the last piece. */
  readonly #tail = new Uint8Array(4);
  #tailLength = 0;

  reset(): void {
    this.#tailLength = 0;
  }

  /** Whether the text ends between sequences. */
  get complete(): boolean {
    return this.#tailLength === 0;
  }

  push(bytes: Uint8Array, start: number, end: number): boolean {
    let from = start;
    if (this.#tailLength === 0 && end - start <= SMALL_BYTES) {
      let high = 0;
      for (let at = start; at < end; at++) {
        high |= bytes[at]!;
      }
      if (high < 0x80) {
        return true;
      }
    }
    while (this.#tailLength > 0 && from < end) {
      this.#tail[this.#tailLength++] = bytes[from++]!;
      const wanted = sequenceLength(this.#tail[0]!);
      if (this.#tailLength < wanted) {
        if ((this.#tail[this.#tailLength - 1]! & 0xc0) !== 0x80) {
          return false;
        }
        continue;
      }
      if (!isUtf8(this.#tail.subarray(0, wanted))) {
        return false;
      }
      this.#tailLength = 0;
    }
    const to = end - incompleteBytes(bytes, from, end);
    for (let at = to; at < end; at++) {
      this.#tail[this.#tailLength++] = bytes[at]!;
    }
    return from === to || isUtf8(from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to));
  }
}

/** Returns the number of bytes at the end that begin an incomplete sequence: 0 to 3. */
function incompleteBytes(bytes: Uint8Array, start: number, end: number): number {
  for (let back = 1; back <= 3 && end - back >= start; back++) {
    const byte = bytes[end - back]!;
    if (byte < 0x80) {
      return 0;
    }
    if (byte >= 0xc0) {
      return sequenceLength(byte) > back ? back : 0;
    }
  }
  return 0;
}

/**
 * The length of a sequence by its first byte; 1 for bytes that cannot begin one, which the check
 * then refuses.
 */
function sequenceLength(first: number): number {
  if (first >= 0xc2 && first < 0xe0) {
    return 2;
  }
  if (first >= 0xe0 && first < 0xf0) {
    return 3;
  }
  return first >= 0xf0 && first < 0xf5 ? 4 : 1;
}
