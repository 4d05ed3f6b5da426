/**
 * What the handlers of counted responses share: decompression, the end of the body, and how bytes
 * reach the client.
 */
import type { Failure } from '../../errors.ts';
import type { Action, ActionOf, EventOf } from '../protocol.ts';
import type { ResponseEvidence } from './evidence.ts';
import { brokenEncoding, type ResponseForm } from './form.ts';
import type { MeteredContext, ResponseBodyEvent, ResponseHandler } from './handler.ts';

/** The body as it arrives. It outlives the handler that waits for the first bytes. */
export class IncomingBody {
  /**
   * Bytes reach the client after they have been read, decompressed, so that a stream can be
   * truncated and edited. Otherwise they pass as they arrive and are read beside that.
   */
  readonly relayed: boolean;
  /** What the response is if its first bytes do not tell. */
  readonly expected: ResponseForm;
  /** Decompressed bytes are still to come. */
  inflating: boolean;
  bytes = 0;
  firstTokenMs: number | undefined;
  upstreamEnded = false;
  hasTrailers = false;
  /** The answer to the response headers, which waits for a document that is converted. */
  heldHeaders: HeldHeaders | undefined;
  /** The body is not what its content-encoding says. */
  undecodable = false;

  constructor(relayed: boolean, inflating: boolean, expected: ResponseForm = relayed ? 'stream' : 'unary') {
    this.relayed = relayed;
    this.expected = expected;
    this.inflating = inflating;
  }

  /** Nothing comes after the bytes at hand. */
  get complete(): boolean {
    return this.upstreamEnded && !this.inflating;
  }
}

export type HeldHeaders = ActionOf<'response-headers'>;

export const NO_BYTES = new Uint8Array(0);

export abstract class MeteredResponse<Context = MeteredContext> implements ResponseHandler {
  ended = false;
  blocked = false;
  failure: Failure | undefined;
  refused: Failure | undefined;
  protected readonly context: Context;
  protected readonly incoming: IncomingBody;

  constructor(context: Context, incoming: IncomingBody) {
    this.context = context;
    this.incoming = incoming;
  }

  get inflating(): boolean {
    const { relayed, inflating, upstreamEnded } = this.incoming;
    return !this.ended && !relayed && inflating && upstreamEnded;
  }

  get bytes(): number {
    return this.incoming.bytes;
  }

  get firstTokenMs(): number | undefined {
    return this.incoming.firstTokenMs;
  }

  handle(event: ResponseBodyEvent, nowMs: number, out: Action[]): ResponseHandler {
    if (this.ended) {
      return this;
    }
    switch (event.type) {
      case 'response-body':
        return this.#body(event, nowMs, out);
      case 'response-trailers':
        return this.#trailers(nowMs, out);
      case 'inflated':
        return this.read(event.bytes, nowMs, out);
      case 'inflate-end':
        return this.#inflateEnd(event.error, nowMs, out);
      case 'extended':
        this.extended(event.tokens, nowMs, out);
        return this;
      case 'analyzed':
        this.analyzed(event, nowMs, out);
        return this;
      case 'inspected':
        return this;
      default:
        throw new Error(`unknown event ${(event satisfies never as ResponseBodyEvent).type}`);
    }
  }

  #body({ bytes, endOfStream }: EventOf<'response-body'>, nowMs: number, out: Action[]): ResponseHandler {
    const { incoming } = this;
    incoming.bytes += bytes.length;
    if (endOfStream) {
      incoming.upstreamEnded = true;
    }
    if (!incoming.relayed) {
      out.push({ type: 'response-body', bytes, endOfStream });
      if (bytes.length > 0) {
        incoming.firstTokenMs ??= nowMs;
      }
    }
    if (!incoming.inflating) {
      return this.read(bytes, nowMs, out);
    }
    if (bytes.length > 0) {
      out.push({ type: 'inflate-push', bytes });
    }
    if (endOfStream) {
      out.push({ type: 'inflate-finish' });
    }
    return this;
  }

  #trailers(nowMs: number, out: Action[]): ResponseHandler {
    const { incoming } = this;
    incoming.upstreamEnded = true;
    incoming.hasTrailers = true;
    if (!incoming.relayed) {
      out.push({ type: 'response-trailers' });
    }
    if (!incoming.inflating) {
      return this.read(NO_BYTES, nowMs, out);
    }
    out.push({ type: 'inflate-finish' });
    return this;
  }

  #inflateEnd(error: boolean, nowMs: number, out: Action[]): ResponseHandler {
    const { incoming } = this;
    incoming.inflating = false;
    incoming.undecodable ||= error;
    if (incoming.relayed) {
      incoming.upstreamEnded = true;
      if (error) {
        this.fail(brokenEncoding, out);
        return this;
      }
    }
    return this.read(NO_BYTES, nowMs, out);
  }

  /** Reads decoded bytes, or none at the end of the body. */
  abstract read(bytes: Uint8Array, nowMs: number, out: Action[]): ResponseHandler;

  abstract fail(problem: Failure, out: Action[]): void;

  stop(problem: Failure, _nowMs: number, out: Action[]): boolean {
    const { relayed, heldHeaders, bytes } = this.incoming;
    const isUnsent = relayed && (heldHeaders !== undefined || bytes === 0);
    if (isUnsent) {
      this.fail(problem, out);
    }
    return isUnsent;
  }

  abstract evidence(nowMs: number): ResponseEvidence;

  /** Takes what a service of guardrails says about a part of the response. */
  protected analyzed(_event: EventOf<'analyzed'>, _nowMs: number, _out: Action[]): void {}

  protected extended(_tokens: number, _nowMs: number, _out: Action[]): void {}

  abandon(): void {}

  release(): void {
    this.ended = true;
  }
}
