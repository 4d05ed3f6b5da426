/**
 * One HTTP/2 stream with one `Process` call: cuts messages out of DATA frames, dispatches them, and
 * credits the peer for what was consumed.
 */

import type { ExchangeHandler } from '../exchange.ts';
import { Assembler, messageLength, PREFIX_BYTES } from './assembler.ts';
import { decodeRequest, emptyRequest } from './decode.ts';
import { NO_ERROR, RST_STREAM, WINDOW_UPDATE } from './frames.ts';
import { PIECE_BYTES } from './limits.ts';
import type { StreamHost } from './outbound.ts';
import { Outbound } from './outbound.ts';
import { MalformedMessage } from './protobuf.ts';
import { INTERNAL, INVALID_ARGUMENT, trailers } from './static-frames.ts';

const EMPTY = Buffer.alloc(0);
/** Most requests have none. */
const NO_BLOCKS: ArrayBufferLike[] = [];

const nothing = (): void => {};
/** Replaces the handler where the server's user failed to create one. */
const NULL_HANDLER: ExchangeHandler = {
  requestHeaders: nothing,
  requestBody: nothing,
  requestTrailers: nothing,
  responseHeaders: nothing,
  responseBody: nothing,
  responseTrailers: nothing,
  drained: nothing,
  closed: nothing,
};
/** Scratch record, filled anew for each message. Valid only until the next `decodeRequest`. */
const request = emptyRequest();

export class Stream extends Outbound {
  #handler: ExchangeHandler = NULL_HANDLER;
  #assembler: Assembler | undefined;
  #receiveWindowBytes: number;
  #uncreditedBytes = 0;
  #readPaused = false;
  #remoteEnded = false;
  #requestBodyEnded = false;
  #responseBodyEnded = false;
  #closed = false;
  /** Blocks with pieces of the request's body. */
  #blocks: ArrayBufferLike[] = NO_BLOCKS;

  constructor(id: number, host: StreamHost, traceParent: string | undefined) {
    super(id, host, traceParent);
    this.#receiveWindowBytes = host.context.limits.streamWindowBytes;
  }

  get handler(): ExchangeHandler {
    return this.#handler;
  }

  /** Call once, after the connection has registered the stream: the handler may end it at once. */
  open(): void {
    try {
      this.#handler = this.host.context.handler(this);
    } catch (error) {
      this.#fail(error);
    }
  }

  handOver(handler: ExchangeHandler): void {
    this.#handler = handler;
  }

  startRequest(work: () => void): void {
    this.host.context.slice.startRequest(() => {
      if (this.#closed) {
        return;
      }
      try {
        work();
      } catch (error) {
        this.#fail(error);
      }
    });
  }

  inSlices(step: () => number): void {
    this.host.context.slice.inSlices(step);
  }

  abort(): void {
    if (this.#closed || this.closedForWriting) {
      return;
    }
    this.closedForWriting = true;
    this.#writeFailure(INTERNAL, 'internal error');
    // Deferred, because the handler may be in the middle of a call.
    this.host.context.slice.later({ proceed: () => this.#drop(false) });
  }

  pause(): void {
    this.#readPaused = true;
  }

  resume(): void {
    this.#readPaused = false;
    this.sendCredit();
  }

  /** Accounts for the start of a DATA frame. Returns false if it exceeds the receive window. */
  spendReceiveWindow(bytes: number): boolean {
    this.#receiveWindowBytes -= bytes;
    this.#uncreditedBytes += bytes;
    return this.#receiveWindowBytes >= 0;
  }

  /** Sends a WINDOW_UPDATE when half of the window is used. */
  sendCredit(): void {
    const { host } = this;
    const uncreditedBytes = this.#uncreditedBytes;
    if (this.#readPaused || this.closedForWriting || this.#remoteEnded) {
      return;
    }
    if (uncreditedBytes * 2 < host.context.limits.streamWindowBytes) {
      return;
    }
    this.#uncreditedBytes = 0;
    this.#receiveWindowBytes += uncreditedBytes;
    host.output.number(WINDOW_UPDATE, this.id, uncreditedBytes);
    host.scheduleFlush();
  }

  /** Consumes payload of DATA. Returns where it stopped because the slice was over. */
  receive(bytes: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end && !this.host.paused) {
      if (this.closedForWriting) {
        return end;
      }
      try {
        at = this.#take(bytes, at, end);
      } catch (error) {
        this.#fail(error);
        return end;
      }
    }
    return at;
  }

  /** Handles the peer's half-close. */
  endRemote(): void {
    this.#remoteEnded = true;
    if (this.#assembler !== undefined && !this.closedForWriting) {
      this.#fail(new MalformedMessage('truncated message'));
      return;
    }
    this.#close(true);
    if (this.finished) {
      this.host.removeStream(this);
    } else {
      this.end();
    }
  }

  /** Handles the peer's reset, or the loss of the connection. */
  abandon(): void {
    this.host.context.counters.streamsReset++;
    this.#drop(this.finished);
  }

  reset(code: number): void {
    this.#writeReset(code);
    this.#drop(false);
  }

  /** Notifies a waiting handler that the queue has drained. */
  notifyDrained(): void {
    if (!this.takeDrained()) {
      return;
    }
    try {
      this.#handler.drained();
    } catch (error) {
      this.#fail(error);
    }
  }

  protected takeBlocks(): readonly ArrayBufferLike[] {
    const blocks = this.#blocks;
    this.#blocks = NO_BLOCKS;
    return blocks;
  }

  protected afterFinish(): void {
    if (this.#remoteEnded) {
      this.host.removeStream(this);
    }
  }

  #take(bytes: Buffer, start: number, end: number): number {
    const { blocks, limits } = this.host.context;
    const { maxMessageBytes } = limits;
    if (this.#assembler === undefined) {
      if (end - start >= PREFIX_BYTES) {
        const at = start + PREFIX_BYTES;
        const stop = at + messageLength(bytes, start, maxMessageBytes);
        if (stop <= end) {
          this.#dispatch(bytes, at, stop);
          return stop;
        }
      }
      this.#assembler = new Assembler(maxMessageBytes, blocks);
    }
    const assembler = this.#assembler;
    const at = assembler.take(bytes, start, end);
    if (assembler.done) {
      this.#assembler = undefined;
    }
    if (assembler.message === undefined && assembler.done) {
      this.host.context.counters.messagesReceived++;
    }
    if (assembler.message !== undefined) {
      this.#dispatch(assembler.message, 0, assembler.message.length);
    } else {
      if (assembler.piece !== undefined) {
        this.#keepBlock(assembler.piece, assembler.ofRequest);
        this.#dispatchPiece(assembler.piece, assembler.ofRequest, false);
      }
      if (assembler.endOfStream && !this.closedForWriting) {
        this.#dispatchPiece(EMPTY, assembler.ofRequest, true);
      }
    }
    return at;
  }

  /** Notes the block of a piece before its handler can release it. */
  #keepBlock(piece: Buffer, ofRequest: boolean): void {
    const block = ofRequest ? this.host.context.blocks.blockOf(piece) : undefined;
    if (block === undefined) {
      return;
    }
    if (this.#blocks === NO_BLOCKS) {
      this.#blocks = [];
    }
    this.#blocks.push(block);
  }

  #dispatch(bytes: Buffer, start: number, end: number): void {
    const { context } = this.host;
    context.counters.messagesReceived++;
    context.slice.begin();
    decodeRequest(bytes, start, end, request);
    this.#callHandler(bytes);
    context.slice.spend(end - start);
  }

  #callHandler(bytes: Buffer): void {
    const handler = this.#handler;
    switch (request.kind) {
      case 'response-body':
        this.#dispatchBody(bytes, false);
        break;
      case 'request-body':
        this.#dispatchBody(bytes, true);
        break;
      case 'request-headers':
        handler.requestHeaders(request.headers, request.endOfStream, request.attributes);
        break;
      case 'response-headers':
        handler.responseHeaders(request.headers, request.endOfStream, request.attributes);
        break;
      case 'request-trailers':
        handler.requestTrailers();
        break;
      case 'response-trailers':
        handler.responseTrailers();
        break;
      case 'none':
        throw new MalformedMessage('unknown message kind');
    }
  }

  #dispatchBody(bytes: Buffer, ofRequest: boolean): void {
    const { bodyStart, bodyEnd, endOfStream } = request;
    // Bodies above the piece size are rare here: only messages with fields before the body, which
    // Envoy does not send.
    for (let at = bodyStart; at + PIECE_BYTES < bodyEnd && !this.closedForWriting; at += PIECE_BYTES) {
      this.#dispatchBodyPart(bytes.subarray(at, at + PIECE_BYTES), ofRequest, false);
    }
    const left = bodyEnd > bodyStart ? ((bodyEnd - bodyStart - 1) % PIECE_BYTES) + 1 : 0;
    if (this.closedForWriting) {
      return;
    }
    if (left > 0) {
      this.#dispatchBodyPart(bytes.subarray(bodyEnd - left, bodyEnd), ofRequest, endOfStream);
    } else {
      this.#deliverBody(EMPTY, ofRequest, endOfStream);
    }
  }

  #dispatchPiece(piece: Buffer, ofRequest: boolean, endOfStream: boolean): void {
    const { slice } = this.host.context;
    slice.begin();
    this.#deliverBody(piece, ofRequest, endOfStream);
    slice.spend(piece.length);
  }

  /** `piece` is a view of the read buffer. */
  #dispatchBodyPart(piece: Buffer, ofRequest: boolean, endOfStream: boolean): void {
    this.#deliverBody(ofRequest ? Buffer.from(piece) : piece, ofRequest, endOfStream);
  }

  /**
   * Ignores everything after the end of a body: Envoy may deliver the last piece twice
   * (https://github.com/envoyproxy/envoy/issues/46237).
   */
  #deliverBody(body: Buffer, ofRequest: boolean, endOfStream: boolean): void {
    if (ofRequest) {
      if (this.#requestBodyEnded) {
        return;
      }
      this.#requestBodyEnded = endOfStream;
      this.#handler.requestBody(body, endOfStream);
    } else {
      if (this.#responseBodyEnded) {
        return;
      }
      this.#responseBodyEnded = endOfStream;
      this.#handler.responseBody(body, endOfStream);
    }
  }

  /**
   * Ends the call with a gRPC error after a malformed message or an exception of the handler. Other
   * calls continue.
   */
  #fail(error: unknown): void {
    const { counters, log } = this.host.context;
    const malformed = error instanceof MalformedMessage;
    if (malformed) {
      counters.streamsMalformed++;
      log.warn({ streamId: this.id, reason: error.message }, 'malformed ext_proc message');
    } else {
      counters.handlerErrors++;
      log.error({ streamId: this.id, err: error }, 'exchange failed');
    }
    if (malformed) {
      this.#writeFailure(INVALID_ARGUMENT, error.message);
    } else {
      this.#writeFailure(INTERNAL, 'internal error');
    }
    this.#drop(false);
  }

  #writeFailure(status: number, message: string): void {
    if (!this.finished) {
      this.host.headers(trailers(status, message, this.firstHeaders), this.id);
    }
    this.finished = true;
    if (!this.#remoteEnded) {
      this.#writeReset(NO_ERROR);
    }
  }

  #drop(clean: boolean): void {
    this.dropUnsent();
    this.#assembler = undefined;
    this.finished = true;
    this.#close(clean);
    this.host.removeStream(this);
  }

  #close(clean: boolean): void {
    this.closedForWriting = true;
    if (this.#closed) {
      return;
    }
    this.#closed = true;
    try {
      this.#handler.closed(clean);
    } catch (error) {
      this.host.context.counters.handlerErrors++;
      this.host.context.log.error({ streamId: this.id, err: error }, 'exchange failed while closing');
    }
  }

  #writeReset(code: number): void {
    this.host.output.number(RST_STREAM, this.id, code);
    this.host.scheduleFlush();
  }
}
