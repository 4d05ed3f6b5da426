/**
 * Assembles a gRPC message that arrives in more than one piece; most messages never need it. Small
 * messages are collected whole. Large bodies are passed on piece by piece, so that a paused stream
 * stops within its window whatever the message's length: request bodies in large pieces, because
 * sessions keep them, and response bodies as they arrive, because each copy would be garbage.
 */

import { BLOCK_BYTES, type BodyBlocks } from './body-blocks.ts';
import { DEFAULT_FRAME_BYTES } from './frames.ts';
import { PASSED_PIECE_BYTES, PIECE_BYTES } from './limits.ts';
import { bytesTag, Cursor, MalformedMessage, varintTag } from './protobuf.ts';

export const PREFIX_BYTES = 5;

/** Returns the length in a gRPC message prefix. */
export function messageLength(bytes: Uint8Array, at: number, maxMessageBytes: number): number {
  if (bytes[at] !== 0) {
    throw new MalformedMessage('compressed message');
  }
  const length = bytes[at + 1]! * 0x1000000 + ((bytes[at + 2]! << 16) | (bytes[at + 3]! << 8) | bytes[at + 4]!);
  if (length > maxMessageBytes) {
    throw new MalformedMessage('message too large');
  }
  return length;
}

/**
 * Bytes before a large body: tag and length of `request_body` or `response_body`, tag and length of
 * `body`.
 */
const HEAD_BYTES = 12;
const REQUEST_BODY = bytesTag(4);
const RESPONSE_BODY = bytesTag(5);
const BODY = bytesTag(1);
const END_OF_STREAM = varintTag(2);

const NOTHING = Buffer.alloc(0);

const cursor = new Cursor();

type AssemblerPhase = 'prefix' | 'head' | 'whole' | 'body' | 'passing' | 'tail';

export class Assembler {
  /** The whole message, if it was collected. */
  message: Buffer | undefined;
  /** A piece of the message's body, until the next call of `take`. */
  piece: Buffer | undefined;
  /** The message is complete. If it was passed on in pieces, `endOfStream` holds its flag. */
  done = false;
  endOfStream = false;
  ofRequest = false;
  readonly #maxMessageBytes: number;
  readonly #blocks: BodyBlocks;
  #phase: AssemblerPhase = 'prefix';
  #buffer: Buffer = Buffer.allocUnsafe(PREFIX_BYTES);
  #filled = 0;
  /**
   * Bytes that the current phase needs. The buffer may be smaller: it grows with the input, not
   * with the announced length.
   */
  #wanted = PREFIX_BYTES;
  #messageLeft = 0;
  #bodyLeft = 0;
  /** The first bytes of a passing body, which were read with the head. */
  #first: Buffer = NOTHING;
  /** Bytes between the end of the body and the end of its enclosing message. */
  #innerTail = 0;

  /** Pieces of request bodies are in `blocks`. */
  constructor(maxMessageBytes: number, blocks: BodyBlocks) {
    this.#maxMessageBytes = maxMessageBytes;
    this.#blocks = blocks;
  }

  /**
   * Consumes bytes until there is something to dispatch. Returns where it stopped. Throws
   * `MalformedMessage`.
   */
  take(bytes: Buffer, start: number, end: number): number {
    this.piece = undefined;
    let at = start;
    while (!this.done && this.piece === undefined) {
      if (this.#filled === this.#wanted) {
        this.#advance();
        continue;
      }
      if (at === end && this.#first.length === 0) {
        break;
      }
      if (this.#phase === 'passing') {
        at = this.#pass(bytes, start, at, end);
        continue;
      }
      this.#grow();
      const stop = Math.min(end, at + this.#buffer.length - this.#filled);
      bytes.copy(this.#buffer, this.#filled, at, stop);
      this.#filled += stop - at;
      at = stop;
    }
    // The last piece and the end of its message are one event.
    if (this.piece !== undefined && this.#bodyLeft === 0 && this.#wanted === 0) {
      this.#advance();
    }
    return at;
  }

  #pass(bytes: Buffer, start: number, at: number, end: number): number {
    const first = this.#first;
    this.#first = NOTHING;
    // The head was in an earlier part, so its bytes are a separate piece.
    const apart = first.length > at - start;
    const from = at - first.length;
    const stop = apart ? at : Math.min(end, from + Math.min(this.#bodyLeft, PASSED_PIECE_BYTES));
    this.piece = apart ? first : bytes.subarray(from, stop);
    this.#bodyLeft -= this.piece.length;
    if (this.#bodyLeft === 0) {
      this.#want('tail', this.#innerTail + this.#messageLeft);
    }
    return stop;
  }

  #grow(): void {
    if (this.#filled < this.#buffer.length) {
      return;
    }
    const larger = Buffer.allocUnsafeSlow(Math.min(this.#wanted, Math.max(PIECE_BYTES, this.#filled * 2)));
    this.#buffer.copy(larger, 0, 0, this.#filled);
    this.#buffer = larger;
  }

  #want(phase: AssemblerPhase, bytes: number): void {
    this.#phase = phase;
    this.#wanted = bytes;
    this.#filled = 0;
    this.#buffer = phase === 'body' ? this.#blocks.take(bytes) : Buffer.allocUnsafe(Math.min(bytes, PIECE_BYTES));
  }

  /** Completes the current phase. */
  #advance(): void {
    switch (this.#phase) {
      case 'prefix': {
        const length = messageLength(this.#buffer, 0, this.#maxMessageBytes);
        this.#messageLeft = length;
        if (length <= DEFAULT_FRAME_BYTES) {
          this.#want('whole', length);
        } else {
          this.#want('head', HEAD_BYTES);
        }
        break;
      }
      case 'head':
        this.#readHead();
        break;
      case 'whole':
        this.message = this.#buffer;
        this.done = true;
        break;
      case 'body':
        this.piece = this.#buffer;
        this.#bodyLeft -= this.#wanted;
        this.#wantBody();
        break;
      case 'tail':
        this.#readTail();
        this.done = true;
        break;
    }
  }

  #readHead(): void {
    cursor.reset(this.#buffer, 0, HEAD_BYTES);
    const tag = cursor.tag();
    if (tag === REQUEST_BODY || tag === RESPONSE_BODY) {
      const innerLength = cursor.uint32();
      const innerStart = cursor.at;
      if (cursor.tag() === BODY) {
        const bodyLength = cursor.uint32();
        this.#innerTail = innerLength - (cursor.at - innerStart) - bodyLength;
        this.#messageLeft -= innerStart + innerLength;
        if (this.#innerTail < 0 || this.#messageLeft < 0) {
          throw new MalformedMessage('length exceeds the message');
        }
        if (bodyLength >= HEAD_BYTES) {
          this.ofRequest = tag === REQUEST_BODY;
          this.#bodyLeft = bodyLength;
          const first = this.#buffer.subarray(cursor.at);
          if (this.ofRequest) {
            this.#beginBody(first);
          } else {
            this.#phase = 'passing';
            this.#wanted = Number.POSITIVE_INFINITY;
            this.#first = first;
          }
          return;
        }
        this.#messageLeft += innerStart + innerLength;
      }
    }
    this.#phase = 'whole';
    this.#wanted = this.#messageLeft;
  }

  /** Starts a body whose first bytes were read with the head. */
  #beginBody(first: Buffer): void {
    this.#wantBody();
    first.copy(this.#buffer);
    this.#filled = first.length;
  }

  #wantBody(): void {
    if (this.#bodyLeft > 0) {
      this.#want('body', Math.min(this.#bodyLeft, BLOCK_BYTES));
    } else {
      this.#want('tail', this.#innerTail + this.#messageLeft);
    }
  }

  /**
   * Reads the fields after the body. A second body would replace the first, which was already
   * passed on, so it is refused.
   */
  #readTail(): void {
    const end = this.#buffer.length;
    cursor.reset(this.#buffer, 0, this.#innerTail);
    while (cursor.at < cursor.end) {
      const tag = cursor.tag();
      if (tag === END_OF_STREAM) {
        this.endOfStream = cursor.bool();
      } else if (tag === BODY) {
        throw new MalformedMessage('more than one body');
      } else {
        cursor.skip(tag);
      }
    }
    cursor.end = end;
    while (cursor.at < end) {
      const tag = cursor.tag();
      if (tag >= bytesTag(2) && tag <= bytesTag(7)) {
        throw new MalformedMessage('more than one message');
      }
      cursor.skip(tag);
    }
  }
}
