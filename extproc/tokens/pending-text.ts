import type { Encoding } from './encodings.ts';
import { TextCounter } from './text-counter.ts';

const NOTHING = new Uint8Array(0);

/** Larger buffers are released when they are empty again. */
const SMALL_BYTES = 512;

/** The text of one channel: collects raw bytes, and counts them on demand. */
export class PendingText {
  pendingBytes = 0;
  /** State for the meter: whether text arrived since the last count, and that count. */
  touched = false;
  countedTokens = 0;
  #pending = NOTHING;
  readonly #counter: TextCounter;

  constructor(encoding: Encoding) {
    this.#counter = new TextCounter(encoding);
  }

  add(bytes: Uint8Array, start: number, end: number): void {
    const needed = this.pendingBytes + end - start;
    if (needed > this.#pending.length) {
      const larger = new Uint8Array(Math.max(64, needed, this.#pending.length * 2));
      larger.set(this.#pending.subarray(0, this.pendingBytes));
      this.#pending = larger;
    }
    for (let at = start, to = this.pendingBytes; at < end; at++, to++) {
      this.#pending[to] = bytes[at]!;
    }
    this.pendingBytes = needed;
  }

  get upperBound(): number {
    return this.#counter.tokens + this.#counter.keptBound + this.pendingBytes;
  }

  settle(): void {
    if (this.pendingBytes === 0) {
      return;
    }
    this.#counter.add(this.#pending, 0, this.pendingBytes);
    this.pendingBytes = 0;
    if (this.#pending.length > SMALL_BYTES) {
      this.#pending = NOTHING;
    }
  }

  count(): number {
    this.settle();
    return this.#counter.count();
  }

  near(): number {
    this.settle();
    return this.#counter.near();
  }
}
