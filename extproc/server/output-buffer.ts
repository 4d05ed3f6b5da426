/**
 * The output of one connection until the end of the slice. Small messages share one buffer, which
 * is reused while the kernel accepts all of it at once; large bodies are not copied.
 */

import type { Socket } from 'node:net';
import { DATA, FRAME_HEADER_BYTES, writeFrameHeader, writeUint32 } from './frames.ts';
import { STREAM_ID_OFFSET } from './static-frames.ts';

const BUFFER_BYTES = 64 * 1024;

export class OutputBuffer {
  /** Where claimed bytes are written. May change with each claim. */
  buffer: Buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  #start = 0;
  #at = 0;
  #parts: Buffer[] = [];
  #partsBytes = 0;
  /** The DATA frame at the end of the buffer, which more data of the same stream may extend. */
  #dataAt = -1;
  #dataStreamId = 0;
  #dataLength = 0;

  get bytes(): number {
    return this.#partsBytes + this.#at - this.#start;
  }

  /** Reserves `length` bytes (at most 32 KB) in `buffer` and returns their offset. */
  claim(length: number): number {
    this.#dataAt = -1;
    return this.#room(length);
  }

  /**
   * Reserves `length` bytes of DATA, in the stream's last frame if it still ends the buffer and
   * stays below `maxFrameBytes`.
   */
  claimData(streamId: number, length: number, maxFrameBytes: number): number {
    const joined = this.#dataLength + length;
    if (this.#dataAt >= 0 && this.#dataStreamId === streamId && joined <= maxFrameBytes) {
      if (this.buffer.length - this.#at >= length) {
        this.#dataLength = joined;
        writeFrameHeader(this.buffer, this.#dataAt, joined, DATA, 0, streamId);
        return this.#room(length);
      }
    }
    const at = this.#room(FRAME_HEADER_BYTES + length);
    writeFrameHeader(this.buffer, at, length, DATA, 0, streamId);
    this.#dataAt = at;
    this.#dataStreamId = streamId;
    this.#dataLength = length;
    return at + FRAME_HEADER_BYTES;
  }

  /** Copies a prepared frame and sets its stream id. */
  frame(bytes: Buffer, streamId: number): void {
    const at = this.claim(bytes.length);
    this.buffer.set(bytes, at);
    writeUint32(this.buffer, at + STREAM_ID_OFFSET, streamId);
  }

  /** Adds a DATA frame without copying its payload, which must not change any more. */
  referData(streamId: number, payload: Buffer): void {
    const at = this.claim(FRAME_HEADER_BYTES);
    writeFrameHeader(this.buffer, at, payload.length, DATA, 0, streamId);
    this.#seal();
    this.#parts.push(payload);
    this.#partsBytes += payload.length;
  }

  /** Writes everything to the socket at once. `accepted` runs when the kernel has it. */
  flush(socket: Socket, accepted: () => void): void {
    this.#dataAt = -1;
    if (this.#parts.length === 0) {
      const bytes = this.buffer.subarray(this.#start, this.#at);
      this.#start = this.#at;
      socket.write(bytes, accepted);
    } else {
      this.#seal();
      const last = this.#parts.pop()!;
      socket.cork();
      for (const part of this.#parts) {
        socket.write(part);
      }
      socket.write(last, accepted);
      socket.uncork();
      this.#parts = [];
      this.#partsBytes = 0;
    }
    // The buffer may be reused only when the kernel has all of it.
    if (socket.writableLength === 0) {
      this.#start = 0;
      this.#at = 0;
    }
  }

  /** Adds a frame with a 4-byte payload: WINDOW_UPDATE or RST_STREAM. */
  number(type: number, streamId: number, value: number): void {
    const at = this.claim(FRAME_HEADER_BYTES + 4);
    writeUint32(this.buffer, writeFrameHeader(this.buffer, at, 4, type, 0, streamId), value);
  }

  discard(): void {
    this.#dataAt = -1;
    this.#start = this.#at;
    this.#parts = [];
    this.#partsBytes = 0;
  }

  #room(length: number): number {
    if (this.buffer.length - this.#at < length) {
      this.#seal();
      this.buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
      this.#start = 0;
      this.#at = 0;
      this.#dataAt = -1;
    }
    const at = this.#at;
    this.#at += length;
    return at;
  }

  #seal(): void {
    if (this.#at === this.#start) {
      return;
    }
    this.#parts.push(this.buffer.subarray(this.#start, this.#at));
    this.#partsBytes += this.#at - this.#start;
    this.#start = this.#at;
  }
}
