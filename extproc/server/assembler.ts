/** A gRPC message that came in more than one piece. It exists only until the message is whole; most messages never need one. */

import { MalformedMessage } from './protobuf.ts';

export const PREFIX_BYTES = 5;

/** The length that a gRPC prefix announces. */
export function messageLength(bytes: Uint8Array, at: number, maxMessageBytes: number): number {
  if (bytes[at] !== 0) throw new MalformedMessage('compressed message');
  const length = bytes[at + 1]! * 0x1000000 + ((bytes[at + 2]! << 16) | (bytes[at + 3]! << 8) | bytes[at + 4]!);
  if (length > maxMessageBytes) throw new MalformedMessage('message too large');
  return length;
}

/** Memory grows with what has come, not with what was announced. */
const FIRST_BYTES = 64 * 1024;

export class Assembler {
  /** The message without its prefix, once `done`. */
  message: Buffer = Buffer.allocUnsafeSlow(PREFIX_BYTES);
  done = false;
  private readonly maxMessageBytes: number;
  private filled = 0;
  private length = -1;

  constructor(maxMessageBytes: number) {
    this.maxMessageBytes = maxMessageBytes;
  }

  /** Takes what it needs and returns where it stopped. Throws `MalformedMessage`. */
  take(bytes: Buffer, start: number, end: number): number {
    let at = start;
    if (this.length < 0) {
      at = this.copy(bytes, at, end, PREFIX_BYTES);
      if (this.filled < PREFIX_BYTES) return at;
      this.length = messageLength(this.message, 0, this.maxMessageBytes);
      this.filled = 0;
      this.message = Buffer.allocUnsafeSlow(Math.min(this.length, FIRST_BYTES));
    }
    while (at < end && this.filled < this.length) {
      if (this.filled === this.message.length) {
        const larger = Buffer.allocUnsafeSlow(Math.min(this.length, this.filled * 2));
        this.message.copy(larger, 0, 0, this.filled);
        this.message = larger;
      }
      at = this.copy(bytes, at, end, this.message.length);
    }
    this.done = this.filled === this.length;
    return at;
  }

  private copy(bytes: Buffer, start: number, end: number, until: number): number {
    const stop = Math.min(end, start + until - this.filled);
    bytes.copy(this.message, this.filled, start, stop);
    this.filled += stop - start;
    return stop;
  }
}
