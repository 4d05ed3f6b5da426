/**
 * Splits an AWS event stream (`application/vnd.amazon.eventstream`) into whole messages, without
 * reading their contents: https://smithy.io/2.0/aws/amazon-eventstream.html
 */
import { crc32 } from 'node:zlib';
import type { EventSplitter } from './events.ts';

/** The length of the message, that of its headers, and the checksum of both. */
const PRELUDE_BYTES = 12;
const CHECKED_BYTES = 8;
const CHECKSUM_BYTES = 4;

/** Far longer than what a model writes at once. */
const MAX_MESSAGE_BYTES = 1024 * 1024;

const SMALLEST_HELD_BYTES = 512;

const NOTHING = new Uint8Array(0);

export function newAwsEventSplitter(maxMessageBytes: number = MAX_MESSAGE_BYTES): EventSplitter {
  return new AwsEventSplitter(maxMessageBytes);
}

/**
 * The prelude of a message is checked, because its length decides where the next one begins. A
 * message with a wrong prelude, or one that is too long, overflows: nothing after it can be read.
 * The checksum of a whole message is for its reader.
 */
class AwsEventSplitter implements EventSplitter {
  bytes: Uint8Array = NOTHING;
  start = 0;
  end = 0;
  overflowed = false;
  readonly part = 'none';
  readonly #maxBytes: number;
  #piece: Uint8Array = NOTHING;
  /** The offset of what is unread in the piece. */
  #at = 0;
  /** The start of a message that spans pieces; the buffer grows as its bytes arrive. */
  #held: Uint8Array = NOTHING;
  #heldBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  push(bytes: Uint8Array): void {
    if (this.#at < this.#piece.length) {
      this.#piece = Buffer.concat([this.#piece.subarray(this.#at), bytes]);
    } else {
      this.#piece = bytes;
    }
    this.#at = 0;
  }

  next(): boolean {
    if (this.overflowed) {
      return false;
    }
    return this.#heldBytes === 0 ? this.#nextInPiece() : this.#nextHeld();
  }

  /** The end of the input decides nothing: messages have their length. */
  close(): void {}

  detach(): void {
    this.#piece = Buffer.from(this.#piece.subarray(this.#at));
    this.#at = 0;
  }

  rest(): Uint8Array {
    const rest = Buffer.concat([this.#held.subarray(0, this.#heldBytes), this.#piece.subarray(this.#at)]);
    this.#letGo();
    this.#dropPiece();
    return rest;
  }

  #nextInPiece(): boolean {
    const available = this.#piece.length - this.#at;
    if (available >= PRELUDE_BYTES) {
      const length = this.#lengthOf(this.#piece, this.#at);
      if (this.overflowed) {
        return false;
      }
      if (available >= length) {
        this.#give(this.#piece, this.#at, this.#at + length);
        this.#at += length;
        return true;
      }
    }
    this.#hold(available);
    return this.#wait();
  }

  #nextHeld(): boolean {
    if (this.#heldBytes < PRELUDE_BYTES) {
      this.#hold(PRELUDE_BYTES - this.#heldBytes);
    }
    if (this.#heldBytes < PRELUDE_BYTES) {
      return this.#wait();
    }
    const length = this.#lengthOf(this.#held, 0);
    if (this.overflowed) {
      return false;
    }
    this.#hold(length - this.#heldBytes);
    if (this.#heldBytes < length) {
      return this.#wait();
    }
    this.#give(this.#held, 0, length);
    this.#letGo();
    return true;
  }

  /** Returns the length of the message that begins at `at`, if its prelude is right. */
  #lengthOf(bytes: Uint8Array, at: number): number {
    const prelude = new DataView(bytes.buffer, bytes.byteOffset + at, PRELUDE_BYTES);
    const length = prelude.getUint32(0);
    const isRight =
      length >= PRELUDE_BYTES + prelude.getUint32(4) + CHECKSUM_BYTES &&
      prelude.getUint32(CHECKED_BYTES) === crc32(bytes.subarray(at, at + CHECKED_BYTES));
    this.overflowed = !isRight || length > this.#maxBytes;
    return length;
  }

  #give(bytes: Uint8Array, start: number, end: number): void {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
  }

  /** Everything is read. Releases the piece, whose buffer may be much larger. */
  #wait(): boolean {
    this.#dropPiece();
    this.bytes = NOTHING;
    return false;
  }

  #dropPiece(): void {
    this.#piece = NOTHING;
    this.#at = 0;
  }

  /** Copies up to this many bytes of the piece. */
  #hold(most: number): void {
    const length = Math.min(most, this.#piece.length - this.#at);
    if (length === 0) {
      return;
    }
    const needed = this.#heldBytes + length;
    if (needed > this.#held.length) {
      const larger = new Uint8Array(Math.max(SMALLEST_HELD_BYTES, needed, this.#held.length * 2));
      larger.set(this.#held.subarray(0, this.#heldBytes));
      this.#held = larger;
    }
    this.#held.set(this.#piece.subarray(this.#at, this.#at + length), this.#heldBytes);
    this.#heldBytes = needed;
    this.#at += length;
  }

  /** The buffer now belongs to the caller. */
  #letGo(): void {
    this.#held = NOTHING;
    this.#heldBytes = 0;
  }
}
