/** One stream, which carries one call of `Process`: messages are cut out of DATA and handed on, and the peer gets credit for what was. */

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
const nothing = (): void => {};
/** Stands where the server's user failed to give a handler. */
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
/** Filled again for each message; nothing of it is kept. */
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

  constructor(id: number, host: StreamHost) {
    super(id, host);
    this.#receiveWindowBytes = host.context.limits.streamWindowBytes;
  }

  /** To be called once, when the connection knows the stream: the handler may end it at once. */
  open(): void {
    try {
      this.#handler = this.host.context.handler(this);
    } catch (error) {
      this.#fail(error);
    }
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

  abort(): void {
    if (this.#closed || this.closedForWriting) {
      return;
    }
    this.closedForWriting = true;
    this.#writeFailure(INTERNAL, 'internal error');
    // The handler may be in the middle of a call.
    this.host.context.slice.later({ proceed: () => this.#drop(false) });
  }

  pause(): void {
    this.#readPaused = true;
  }

  resume(): void {
    this.#readPaused = false;
    this.sendCredit();
  }

  /** A DATA frame of that length begins. False: the peer had no credit for it. */
  spendReceiveWindow(bytes: number): boolean {
    this.#receiveWindowBytes -= bytes;
    this.#uncreditedBytes += bytes;
    return this.#receiveWindowBytes >= 0;
  }

  /** Gives the window back when half of it is used. */
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

  /** Payload of DATA. Returns where it stopped because the turn is over. */
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

  /** The peer has half-closed. */
  endRemote(): void {
    this.#remoteEnded = true;
    if (this.#assembler !== undefined && !this.closedForWriting) {
      this.#fail(new MalformedMessage('the call ends within a message'));
      return;
    }
    this.#close(true);
    if (this.finished) {
      this.host.removeStream(this);
    } else {
      this.end();
    }
  }

  /** Ended by the peer's reset, or with the connection. */
  abandon(): void {
    this.host.context.counters.streamsReset++;
    this.#drop(this.finished);
  }

  reset(code: number): void {
    this.#writeReset(code);
    this.#drop(false);
  }

  /** Tells the handler that there is room again, if it waits for that. */
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

  protected afterFinish(): void {
    if (this.#remoteEnded) {
      this.host.removeStream(this);
    }
  }

  #take(bytes: Buffer, start: number, end: number): number {
    const { maxMessageBytes } = this.host.context.limits;
    if (this.#assembler === undefined) {
      if (end - start >= PREFIX_BYTES) {
        const at = start + PREFIX_BYTES;
        const stop = at + messageLength(bytes, start, maxMessageBytes);
        if (stop <= end) {
          this.#dispatch(bytes, at, stop);
          return stop;
        }
      }
      this.#assembler = new Assembler(maxMessageBytes);
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
        this.#dispatchPiece(assembler.piece, assembler.ofRequest, false);
      }
      if (assembler.endOfStream && !this.closedForWriting) {
        this.#dispatchPiece(EMPTY, assembler.ofRequest, true);
      }
    }
    return at;
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
        throw new MalformedMessage('no known kind of message');
    }
  }

  #dispatchBody(bytes: Buffer, ofRequest: boolean): void {
    const { bodyStart, bodyEnd, endOfStream } = request;
    // Larger ones are rare here: those that have something before the body, where Envoy has nothing.
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

  /** `piece` lies in the buffer that is read into. */
  #dispatchBodyPart(piece: Buffer, ofRequest: boolean, endOfStream: boolean): void {
    this.#deliverBody(ofRequest ? Buffer.from(piece) : piece, ofRequest, endOfStream);
  }

  /** Envoy may deliver the last piece of a body twice (https://github.com/envoyproxy/envoy/issues/46237): nothing comes after the end. */
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

  /** The message was malformed or the handler threw: the call ends with a gRPC error, and others go on. */
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
      this.host.context.log.error({ streamId: this.id, err: error }, 'exchange failed at its end');
    }
  }

  #writeReset(code: number): void {
    this.host.output.number(RST_STREAM, this.id, code);
    this.host.scheduleFlush();
  }
}
