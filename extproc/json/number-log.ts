/**
 * Blocks start small, because most documents have few values, and stop growing where their unused
 * end would matter.
 */
const FIRST_BLOCK_BYTES = 64;
const LARGEST_BLOCK_BYTES = 4 * 1024;

/**
 * Integers from 0 to 2^32 - 1, in order, seven bits per byte. The logged distances are mostly
 * small.
 */
export class NumberLog {
  length = 0;
  /** Bytes allocated beyond the first block. */
  extraBytes = 0;
  readonly #blocks: Uint8Array[] = [new Uint8Array(FIRST_BLOCK_BYTES)];
  #block = this.#blocks[0]!;
  #used = 0;

  add(value: number): void {
    this.length++;
    if (value < 0x80 && this.#used < this.#block.length) {
      this.#block[this.#used++] = value;
      return;
    }
    let rest = value;
    while (rest >= 0x80) {
      this.#put((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.#put(rest);
  }

  clear(): void {
    this.length = 0;
    this.extraBytes = 0;
    this.#used = 0;
    this.#block = this.#blocks[0]!;
    while (this.#blocks.length > 1) {
      this.#blocks.pop();
    }
  }

  /** Reads the log from its beginning. */
  read(): NumberReader {
    return new NumberReader(this.#blocks, this.length);
  }

  #put(byte: number): void {
    if (this.#used === this.#block.length) {
      this.#block = new Uint8Array(Math.min(LARGEST_BLOCK_BYTES, this.#block.length * 2));
      this.#blocks.push(this.#block);
      this.extraBytes += this.#block.length;
      this.#used = 0;
    }
    this.#block[this.#used++] = byte;
  }
}

export class NumberReader {
  readonly #blocks: readonly Uint8Array[];
  #left: number;
  #block: Uint8Array;
  #index = 0;
  #at = 0;

  constructor(blocks: readonly Uint8Array[], length: number) {
    this.#blocks = blocks;
    this.#left = length;
    this.#block = blocks[0]!;
  }

  get done(): boolean {
    return this.#left === 0;
  }

  /** Call only while not `done`. */
  next(): number {
    this.#left--;
    if (this.#at < this.#block.length && this.#block[this.#at]! < 0x80) {
      return this.#block[this.#at++]!;
    }
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      if (this.#at === this.#block.length) {
        this.#block = this.#blocks[++this.#index]!;
        this.#at = 0;
      }
      const byte = this.#block[this.#at++]!;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        return value >>> 0;
      }
    }
  }
}
