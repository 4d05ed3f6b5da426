import { MAX_VALUE_BYTES } from './bounds.ts';

/** A key, string or number that is split between pieces, up to the longest that is read. */
export class Carry {
  #bytes: Uint8Array | undefined;
  #length = 0;
  #tooLong = false;

  clear(): void {
    this.#length = 0;
    this.#tooLong = false;
  }

  add(bytes: Uint8Array, start: number, end: number): void {
    if (this.#tooLong || this.#length + end - start > MAX_VALUE_BYTES) {
      this.#tooLong = true;
      return;
    }
    this.#bytes ??= new Uint8Array(MAX_VALUE_BYTES);
    for (let at = start; at < end; at++) {
      this.#bytes[this.#length++] = bytes[at]!;
    }
  }

  /** The collected bytes; undefined when they were too many. */
  get whole(): Uint8Array | undefined {
    return this.#tooLong ? undefined : (this.#bytes?.subarray(0, this.#length) ?? new Uint8Array(0));
  }
}
