/**
 * Bytes that a stream may not send yet. Small messages are copied together, so that none keeps a
 * large buffer alive; large ones are referenced.
 */

import { DEFAULT_FRAME_BYTES } from './frames.ts';
import type { OutputBuffer } from './output-buffer.ts';

/** Enough for the heads of a large body, whose pieces are referenced. Doubles from tail to tail. */
const FIRST_TAIL_BYTES = 1024;
const LARGEST_TAIL_BYTES = 8 * 1024;

/** Chunks of at least this size are cheaper to reference than to copy. */
export const REFERENCE_BYTES: number = 8 * 1024;

export class SendQueue {
  bytes = 0;
  /** Where claimed bytes are written. */
  tail: Buffer | undefined;
  #tailStart = 0;
  #tailEnd = 0;
  #nextTailBytes = FIRST_TAIL_BYTES;
  #chunks: Buffer[] = [];
  #first = 0;
  #firstAt = 0;

  /** Reserves `length` bytes in `tail` and returns their offset. */
  claim(length: number): number {
    if (this.tail === undefined || this.tail.length - this.#tailEnd < length) {
      this.#seal();
      // Small ones come from Node's pool: memory of its own makes V8 collect garbage earlier.
      this.tail = Buffer.allocUnsafe(Math.max(length, this.#nextTailBytes));
      this.#nextTailBytes = Math.min(LARGEST_TAIL_BYTES, this.#nextTailBytes * 2);
      this.#tailStart = 0;
      this.#tailEnd = 0;
    }
    const at = this.#tailEnd;
    this.#tailEnd += length;
    this.bytes += length;
    return at;
  }

  /** Queues bytes by reference. They must not change any more. */
  refer(bytes: Buffer): void {
    this.#seal();
    this.#chunks.push(bytes);
    this.bytes += bytes.length;
  }

  /** Moves up to `limit` bytes into a DATA frame and returns their number. */
  moveTo(output: OutputBuffer, streamId: number, limit: number): number {
    this.#seal();
    const head = this.#chunks[this.#first]!;
    const whole = Math.min(head.length - this.#firstAt, limit);
    if (whole >= REFERENCE_BYTES) {
      output.referData(streamId, head.subarray(this.#firstAt, this.#firstAt + whole));
      this.bytes -= whole;
      this.#advance(whole);
      return whole;
    }
    // Up to the next chunk that is worth a frame of its own.
    let length = whole;
    for (let index = this.#first + 1; index < this.#chunks.length && length < limit; index++) {
      const next = this.#chunks[index]!.length;
      if (next >= REFERENCE_BYTES) {
        break;
      }
      length += Math.min(next, limit - length);
    }
    this.#copyTo(output, streamId, length);
    return length;
  }

  #copyTo(output: OutputBuffer, streamId: number, length: number): void {
    this.bytes -= length;
    let at = output.claimData(streamId, length, DEFAULT_FRAME_BYTES);
    let left = length;
    while (left > 0) {
      const head = this.#chunks[this.#first]!;
      const end = Math.min(head.length, this.#firstAt + left);
      head.copy(output.buffer, at, this.#firstAt, end);
      at += end - this.#firstAt;
      left -= end - this.#firstAt;
      this.#advance(end - this.#firstAt);
    }
  }

  #advance(count: number): void {
    this.#firstAt += count;
    if (this.#firstAt < this.#chunks[this.#first]!.length) {
      return;
    }
    this.#firstAt = 0;
    this.#first++;
    if (this.#first < 64 && this.#first < this.#chunks.length) {
      return;
    }
    this.#chunks = this.#chunks.slice(this.#first);
    this.#first = 0;
  }

  #seal(): void {
    if (this.tail === undefined || this.#tailEnd === this.#tailStart) {
      return;
    }
    this.#chunks.push(this.tail.subarray(this.#tailStart, this.#tailEnd));
    this.#tailStart = this.#tailEnd;
  }
}
