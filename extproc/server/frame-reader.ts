/**
 * Cuts socket input into frames, wherever the input is split. DATA payloads are passed on as they
 * arrive and never collected; all other frames are passed on whole. The sink may pause the reader
 * at any point.
 */

import {
  ConnectionError,
  DATA,
  DEFAULT_FRAME_BYTES,
  FRAME_HEADER_BYTES,
  FRAME_SIZE_ERROR,
  PADDED,
  PREFACE,
  PROTOCOL_ERROR,
  readUint32,
} from './frames.ts';

export interface FrameSink {
  /** Whether the sink takes nothing until the next call of `read`. */
  readonly paused: boolean;
  /** Takes any frame but DATA, with its payload. */
  frame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void;
  /** A DATA frame begins. `length` includes padding, as flow control counts it. */
  dataBegin(streamId: number, length: number): void;
  /** Takes part of a DATA payload. Returns where it stopped, before `end` only if paused. */
  dataPart(bytes: Buffer, start: number, end: number): number;
  dataEnd(flags: number): void;
}

type FramePhase = 'preface' | 'header' | 'payload' | 'pad-length' | 'data' | 'padding';

export class FrameReader {
  #phase: FramePhase = 'preface';
  /** Bytes read of a preface, frame header or payload that arrives in parts. */
  #filled = 0;
  readonly #header = Buffer.alloc(FRAME_HEADER_BYTES);
  #payload: Buffer | undefined;
  #length = 0;
  #type = 0;
  #flags = 0;
  #streamId = 0;
  #paddingBytes = 0;

  /** Reads from `start` and returns where it stopped. Throws `ConnectionError`. */
  read(bytes: Buffer, start: number, sink: FrameSink): number {
    let at = start;
    while (at < bytes.length && !sink.paused) {
      switch (this.#phase) {
        case 'preface':
          at = this.#readPreface(bytes, at);
          break;
        case 'header':
          at = this.#readHeader(bytes, at, sink);
          break;
        case 'payload':
          at = this.#readPayload(bytes, at, sink);
          break;
        case 'pad-length':
          this.#paddingBytes = bytes[at++]!;
          this.#length--;
          if (this.#paddingBytes > this.#length) {
            throw new ConnectionError(PROTOCOL_ERROR, 'padding exceeds the payload');
          }
          this.#length -= this.#paddingBytes;
          this.#continueData(sink);
          break;
        case 'data':
          at = this.#readData(bytes, at, sink);
          break;
        case 'padding':
          at = this.#readPadding(bytes, at, sink);
          break;
      }
    }
    return at;
  }

  #readPreface(bytes: Buffer, start: number): number {
    const end = Math.min(bytes.length, start + PREFACE.length - this.#filled);
    if (bytes.compare(PREFACE, this.#filled, this.#filled + end - start, start, end) !== 0) {
      throw new ConnectionError(PROTOCOL_ERROR, 'invalid HTTP/2 preface');
    }
    this.#filled += end - start;
    if (this.#filled === PREFACE.length) {
      this.#expectHeader();
    }
    return end;
  }

  #readHeader(bytes: Buffer, start: number, sink: FrameSink): number {
    if (this.#filled === 0 && bytes.length - start >= FRAME_HEADER_BYTES) {
      this.#begin(bytes, start, sink);
      return start + FRAME_HEADER_BYTES;
    }
    const end = Math.min(bytes.length, start + FRAME_HEADER_BYTES - this.#filled);
    bytes.copy(this.#header, this.#filled, start, end);
    this.#filled += end - start;
    if (this.#filled === FRAME_HEADER_BYTES) {
      this.#begin(this.#header, 0, sink);
    }
    return end;
  }

  #begin(bytes: Buffer, at: number, sink: FrameSink): void {
    this.#filled = 0;
    this.#length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
    this.#type = bytes[at + 3]!;
    this.#flags = bytes[at + 4]!;
    this.#streamId = readUint32(bytes, at + 5) & 0x7fffffff;
    if (this.#length > DEFAULT_FRAME_BYTES) {
      throw new ConnectionError(FRAME_SIZE_ERROR, 'frame too large');
    }
    if (this.#type === DATA) {
      sink.dataBegin(this.#streamId, this.#length);
      this.#paddingBytes = 0;
      if ((this.#flags & PADDED) === 0) {
        this.#continueData(sink);
      } else if (this.#length === 0) {
        throw new ConnectionError(FRAME_SIZE_ERROR, 'padded frame without padding length');
      } else {
        this.#phase = 'pad-length';
      }
    } else if (this.#length > 0) {
      this.#phase = 'payload';
    } else {
      this.#expectHeader();
      sink.frame(this.#type, this.#flags, this.#streamId, bytes, at, at);
    }
  }

  #readPayload(bytes: Buffer, start: number, sink: FrameSink): number {
    const wanted = this.#length - this.#filled;
    if (this.#filled === 0 && bytes.length - start >= wanted) {
      this.#expectHeader();
      sink.frame(this.#type, this.#flags, this.#streamId, bytes, start, start + wanted);
      return start + wanted;
    }
    this.#payload ??= Buffer.allocUnsafeSlow(this.#length);
    const end = Math.min(bytes.length, start + wanted);
    bytes.copy(this.#payload, this.#filled, start, end);
    this.#filled += end - start;
    if (this.#filled === this.#length) {
      const payload = this.#payload;
      this.#payload = undefined;
      this.#expectHeader();
      sink.frame(this.#type, this.#flags, this.#streamId, payload, 0, payload.length);
    }
    return end;
  }

  #readData(bytes: Buffer, start: number, sink: FrameSink): number {
    const end = Math.min(bytes.length, start + this.#length);
    const stopped = sink.dataPart(bytes, start, end);
    this.#length -= stopped - start;
    if (this.#length === 0) {
      this.#continueData(sink);
    }
    return stopped;
  }

  #readPadding(bytes: Buffer, start: number, sink: FrameSink): number {
    const end = Math.min(bytes.length, start + this.#paddingBytes);
    this.#paddingBytes -= end - start;
    this.#continueData(sink);
    return end;
  }

  #continueData(sink: FrameSink): void {
    if (this.#length > 0) {
      this.#phase = 'data';
    } else if (this.#paddingBytes > 0) {
      this.#phase = 'padding';
    } else {
      this.#expectHeader();
      sink.dataEnd(this.#flags);
    }
  }

  #expectHeader(): void {
    this.#phase = 'header';
    this.#filled = 0;
  }
}
