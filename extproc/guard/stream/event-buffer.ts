/**
 * Keeps copies of the events that wait, one behind the other, so that they leave as one piece.
 * Bytes that have left are never overwritten: they may still be on their way.
 */
import type { HeldText } from './held-text.ts';

const BUFFER_BYTES = 4 * 1024;

export class EventBuffer {
  #bytes: Uint8Array = new Uint8Array(0);
  #used = 0;

  keep(held: HeldText): void {
    const { bytes, base, length } = held;
    if (this.#used + length > this.#bytes.length) {
      this.#bytes = Buffer.allocUnsafeSlow(Math.max(BUFFER_BYTES, length));
      this.#used = 0;
    }
    this.#bytes.set(bytes.subarray(base, base + length), this.#used);
    held.bytes = this.#bytes;
    held.base = this.#used;
    this.#used += length;
  }
}
