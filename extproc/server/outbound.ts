/**
 * The sending half of a stream: writes messages into the connection's output buffer as far as the
 * peer's windows allow, and queues the rest.
 */

import type { Exchange, ExchangeHandler, HeaderMutation, ImmediateResponse } from '../exchange.ts';
import { PREFIX_BYTES } from './assembler.ts';
import type { BodyAnswer, HeadersAnswer, TrailersAnswer } from './encode.ts';
import * as encode from './encode.ts';
import { DEFAULT_FRAME_BYTES, MAX_WINDOW_BYTES, writeUint32 } from './frames.ts';
import { HIGH_MARK_BYTES, LOW_MARK_BYTES } from './limits.ts';
import type { OutputBuffer } from './output-buffer.ts';
import { REFERENCE_BYTES, SendQueue } from './send-queue.ts';
import type { ServerContext } from './server-context.ts';
import { RESPONSE_AND_TRAILERS_OK, RESPONSE_HEADERS, TRAILERS_OK } from './static-frames.ts';

/** What a stream needs from its connection. */
export interface StreamHost {
  readonly context: ServerContext;
  readonly output: OutputBuffer;
  /** The peer's window for the connection, and the initial window of its streams. */
  sendWindowBytes: number;
  readonly initialSendWindowBytes: number;
  /** Whether the socket takes more output in this slice. */
  readonly writable: boolean;
  /** Whether streams must receive nothing more in this slice. */
  readonly paused: boolean;
  /** Schedules a flush at the end of the slice. */
  scheduleFlush(): void;
  /** Registers a stream with output that had to wait. */
  enqueue(stream: Outbound): void;
  dequeue(stream: Outbound): void;
  /** Uses blocks of a body again when the socket has accepted everything. */
  reuse(blocks: readonly ArrayBufferLike[]): void;
  headers(frame: Buffer, streamId: number): void;
  /** Removes a stream that has nothing left to send or receive. */
  removeStream(stream: Outbound): void;
}

const NO_BODY = new Uint8Array(0);

export abstract class Outbound implements Exchange {
  readonly id: number;
  readonly traceParent: string | undefined;
  /** See `IntegerTable`. */
  nextInSlot: this | undefined = undefined;
  /** See `SendOrder`. */
  waitingAt = -1;
  ready = false;
  protected readonly host: StreamHost;
  /** Further messages are ignored: they would follow `end` or `closed`. */
  protected closedForWriting = false;
  /** The trailers have been written. */
  protected finished = false;
  #ended = false;
  #headersSent = false;
  #wasHigh = false;
  /** The peer's window for this stream, minus its initial window. */
  #windowBalance = 0;
  #queue: SendQueue | undefined;
  /** Released blocks, to which the queue may refer. */
  #released: readonly ArrayBufferLike[] | undefined;
  /** The buffer in which `#message` has reserved space. */
  #target: Buffer;

  constructor(id: number, host: StreamHost, traceParent: string | undefined) {
    this.id = id;
    this.traceParent = traceParent;
    this.host = host;
    this.#target = host.output.buffer;
  }

  abstract handOver(handler: ExchangeHandler): void;
  abstract startRequest(work: () => void): void;
  abstract inSlices(step: () => number): void;
  abstract abort(): void;
  abstract pause(): void;
  abstract resume(): void;

  get unsentBytes(): number {
    return this.#queue === undefined ? 0 : this.#queue.bytes;
  }

  requestHeaders(mutation: HeaderMutation): void {
    this.#headersAnswer(encode.REQUEST_HEADERS_ANSWER, mutation);
  }

  requestBody(bytes: Uint8Array, endOfStream: boolean): void {
    this.#bodyAnswer(encode.REQUEST_BODY_ANSWER, bytes, endOfStream);
  }

  releaseRequestBody(): void {
    const blocks = this.takeBlocks();
    if (blocks.length === 0) {
      return;
    }
    if (this.#queue === undefined) {
      this.host.reuse(blocks);
    } else {
      this.#released = blocks;
    }
  }

  requestTrailers(): void {
    this.#trailersAnswer(encode.REQUEST_TRAILERS_ANSWER);
  }

  responseHeaders(mutation: HeaderMutation): void {
    this.#headersAnswer(encode.RESPONSE_HEADERS_ANSWER, mutation);
  }

  responseBody(bytes: Uint8Array, endOfStream: boolean): void {
    this.#bodyAnswer(encode.RESPONSE_BODY_ANSWER, bytes, endOfStream);
  }

  responseTrailers(): void {
    this.#trailersAnswer(encode.RESPONSE_TRAILERS_ANSWER);
  }

  immediateResponse(response: ImmediateResponse): void {
    if (this.closedForWriting) {
      return;
    }
    const at = this.#message(encode.immediateAnswerSize(response), response.body);
    encode.writeImmediateAnswer(this.#target, at, response);
  }

  end(): void {
    this.closedForWriting = true;
    if (this.#ended) {
      return;
    }
    this.#ended = true;
    if (this.#queue === undefined && this.host.writable) {
      this.#finish();
    } else {
      this.host.enqueue(this);
    }
  }

  /** Adds credit from the peer. Returns false if the window exceeds its maximum. */
  credit(bytes: number): boolean {
    this.#windowBalance += bytes;
    return this.#windowBalance + this.host.initialSendWindowBytes <= MAX_WINDOW_BYTES;
  }

  /** Sends up to `quantumBytes`. Returns true if more remains and only the connection blocks it. */
  pump(quantumBytes: number): boolean {
    const { host } = this;
    const queue = this.#queue;
    if (queue !== undefined) {
      let left = quantumBytes;
      while (queue.bytes > 0) {
        const window = this.#windowBalance + host.initialSendWindowBytes;
        if (window <= 0) {
          return false;
        }
        if (left <= 0 || host.sendWindowBytes <= 0 || !host.writable) {
          return true;
        }
        this.#sendHeaders();
        const limit = Math.min(DEFAULT_FRAME_BYTES, window, host.sendWindowBytes);
        const length = queue.moveTo(host.output, this.id, limit);
        this.#spendWindow(length);
        host.context.unsentBytes -= length;
        left -= length;
      }
      this.#emptyQueue();
    }
    if (!this.#ended) {
      return false;
    }
    if (!host.writable) {
      return true;
    }
    this.#finish();
    return false;
  }

  /**
   * Returns true, once, when the queue has drained below the low mark after it was above the high
   * mark.
   */
  takeDrained(): boolean {
    if (!this.#wasHigh || this.closedForWriting || this.unsentBytes >= LOW_MARK_BYTES) {
      return false;
    }
    this.#wasHigh = false;
    return true;
  }

  protected dropUnsent(): void {
    this.host.context.unsentBytes -= this.unsentBytes;
    this.#emptyQueue();
    this.host.dequeue(this);
  }

  #emptyQueue(): void {
    this.#queue = undefined;
    if (this.#released !== undefined) {
      this.host.reuse(this.#released);
      this.#released = undefined;
    }
  }

  protected get firstHeaders(): boolean {
    return !this.#headersSent;
  }

  /** Returns the blocks of the request's body, which it then forgets. */
  protected abstract takeBlocks(): readonly ArrayBufferLike[];

  /** Called when the trailers have been written. */
  protected abstract afterFinish(): void;

  #finish(): void {
    this.finished = true;
    this.host.headers(this.#headersSent ? TRAILERS_OK : RESPONSE_AND_TRAILERS_OK, this.id);
    this.afterFinish();
  }

  #headersAnswer(answer: HeadersAnswer, mutation: HeaderMutation): void {
    if (this.closedForWriting) {
      return;
    }
    const at = this.#message(encode.headersAnswerSize(mutation), mutation.body ?? NO_BODY);
    encode.writeHeadersAnswer(this.#target, at, answer, mutation);
  }

  #bodyAnswer(answer: BodyAnswer, bytes: Uint8Array, endOfStream: boolean): void {
    if (this.closedForWriting) {
      return;
    }
    const at = this.#message(encode.bodyAnswerSize(bytes.length, endOfStream), bytes);
    encode.writeBodyAnswer(this.#target, at, answer, bytes.length, endOfStream);
  }

  #trailersAnswer(answer: TrailersAnswer): void {
    if (this.closedForWriting) {
      return;
    }
    encode.writeTrailersAnswer(this.#target, this.#message(encode.TRAILERS_ANSWER_SIZE, NO_BODY), answer);
  }

  /**
   * Reserves space for a gRPC message and writes its prefix and `body`. Returns where the caller
   * must write the `headLength` bytes between them, in `#target`.
   */
  #message(headLength: number, body: Uint8Array): number {
    const { host } = this;
    host.context.counters.messagesSent++;
    const length = PREFIX_BYTES + headLength + body.length;
    const window = this.#windowBalance + host.initialSendWindowBytes;
    if (
      this.#queue !== undefined ||
      !host.writable ||
      length > DEFAULT_FRAME_BYTES ||
      length > window ||
      length > host.sendWindowBytes
    ) {
      return this.#enqueue(headLength, body);
    }
    this.#sendHeaders();
    const at = host.output.claimData(this.id, length, DEFAULT_FRAME_BYTES);
    this.#target = host.output.buffer;
    if (body.length > 0) {
      this.#target.set(body, at + PREFIX_BYTES + headLength);
    }
    this.#spendWindow(length);
    host.scheduleFlush();
    return this.#writePrefix(at, headLength + body.length);
  }

  #enqueue(headLength: number, body: Uint8Array): number {
    const { host } = this;
    const length = PREFIX_BYTES + headLength + body.length;
    this.#queue ??= new SendQueue();
    // Pieces of a much larger buffer are copied, because a queued view would keep all of it alive.
    // Views of the read buffer are copied, because the next read overwrites it; a frame is a
    // quarter of that buffer.
    const kept = body.length >= REFERENCE_BYTES && body.length * 2 >= body.buffer.byteLength;
    const at = this.#queue.claim(kept ? length - body.length : length);
    this.#target = this.#queue.tail!;
    if (kept) {
      this.#queue.refer(Buffer.from(body.buffer, body.byteOffset, body.length));
    } else {
      this.#target.set(body, at + PREFIX_BYTES + headLength);
    }
    host.context.unsentBytes += length;
    if (this.#queue.bytes > HIGH_MARK_BYTES) {
      this.#wasHigh = true;
    }
    host.enqueue(this);
    return this.#writePrefix(at, headLength + body.length);
  }

  #writePrefix(at: number, length: number): number {
    this.#target[at] = 0;
    return writeUint32(this.#target, at + 1, length);
  }

  #sendHeaders(): void {
    if (this.#headersSent) {
      return;
    }
    this.#headersSent = true;
    this.host.headers(RESPONSE_HEADERS, this.id);
  }

  #spendWindow(length: number): void {
    this.#windowBalance -= length;
    this.host.sendWindowBytes -= length;
  }
}
