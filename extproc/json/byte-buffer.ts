/**
 * Smaller pieces are copied together: a client may send a megabyte byte by byte, and each piece
 * costs an object and keeps its buffer alive.
 */
const SMALL_PIECE_BYTES = 4 * 1024;

const LARGEST_BLOCK_BYTES = 64 * 1024;

/** The bytes of a document in order, in few pieces. */
export class ByteBuffer {
  pieces: Uint8Array[] = [];
  /** The document offset at which each piece ends. */
  #ends: number[] = [];
  /** The block that the last piece is a view of, if the block is ours. */
  #block: Uint8Array | undefined;
  #used = 0;
  /** Doubles from block to block, until a large piece arrives. */
  #nextBlockBytes = SMALL_PIECE_BYTES;

  /** Length of the document so far. */
  get length(): number {
    return this.#ends.at(-1) ?? 0;
  }

  add(bytes: Uint8Array): void {
    if (bytes.length === 0) {
      return;
    }
    const total = this.length + bytes.length;
    if (bytes.length >= SMALL_PIECE_BYTES || total === bytes.length) {
      this.#closeBlock();
      this.#nextBlockBytes = SMALL_PIECE_BYTES;
      this.pieces.push(bytes);
      this.#ends.push(total);
      return;
    }
    let block = this.#block;
    if (block === undefined || this.#used + bytes.length > block.length) {
      this.#closeBlock();
      // The reserve is at most half of the bytes present.
      const wanted = Math.min(LARGEST_BLOCK_BYTES, this.#nextBlockBytes, total >> 1);
      block = new Uint8Array(Math.max(SMALL_PIECE_BYTES, wanted));
      this.#nextBlockBytes = block.length * 2;
      this.#block = block;
      this.#used = 0;
      this.pieces.push(block);
      this.#ends.push(total);
    }
    block.set(bytes, this.#used);
    this.#used += bytes.length;
    this.pieces[this.pieces.length - 1] = block.subarray(0, this.#used);
    this.#ends[this.#ends.length - 1] = total;
  }

  /** Alternating small and large pieces must not leave a block behind each time. */
  #closeBlock(): void {
    if (this.#block !== undefined && this.#used < this.#block.length) {
      this.pieces[this.pieces.length - 1] = this.#block.slice(0, this.#used);
    }
    this.#block = undefined;
  }

  clear(): void {
    // V8 takes 50 ns to assign the length of an array, even of an empty one.
    if (this.pieces.length > 0) {
      this.pieces = [];
      this.#ends = [];
      this.#block = undefined;
    }
  }

  /** Returns a view, or a copy if the range spans pieces; undefined if nothing was kept. */
  slice(start: number, end: number): Uint8Array | undefined {
    let low = 0;
    let high = this.pieces.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#ends[middle]! <= start) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    if (low === this.pieces.length) {
      return undefined;
    }
    const first = this.pieces[low]!;
    const base = this.#ends[low]! - first.length;
    if (end <= this.#ends[low]!) {
      return first.subarray(start - base, end - base);
    }
    const parts: Uint8Array[] = [];
    for (let index = low, at = base; at < end; at = this.#ends[index++]!) {
      parts.push(this.pieces[index]!.subarray(Math.max(0, start - at), end - at));
    }
    return Buffer.concat(parts);
  }
}
