/**
 * Relays a response unread: passthrough, `free` endpoints, errors, local replies, encodings that we
 * cannot read.
 */
import type { Failure } from '../../errors.ts';
import type { Action } from '../protocol.ts';
import { type ResponseEvidence, unreadEvidence } from './evidence.ts';
import type { ResponseBodyEvent, ResponseHandler } from './handler.ts';

export interface PassthroughOptions {
  readonly ended: boolean;
  /** The body would have to be counted, and its encoding is unknown. */
  readonly unreadable: boolean;
  readonly refused?: Failure;
}

export class PassthroughResponse implements ResponseHandler {
  ended: boolean;
  readonly blocked = false;
  readonly inflating = false;
  readonly firstTokenMs = undefined;
  readonly failure = undefined;
  readonly refused: Failure | undefined;
  bytes = 0;
  readonly #unreadable: boolean;

  constructor({ ended, unreadable, refused }: PassthroughOptions) {
    this.ended = ended;
    this.#unreadable = unreadable;
    this.refused = refused;
  }

  handle(event: ResponseBodyEvent, _nowMs: number, out: Action[]): ResponseHandler {
    if (this.ended) {
      return this;
    }
    if (event.type === 'response-body') {
      const { bytes, endOfStream } = event;
      this.bytes += bytes.length;
      out.push({ type: 'response-body', bytes, endOfStream });
      this.ended = endOfStream;
    } else if (event.type === 'response-trailers') {
      out.push({ type: 'response-trailers' });
      this.ended = true;
    }
    return this;
  }

  fail(): void {}

  stop(): boolean {
    return false;
  }

  abandon(): void {}

  release(): void {
    this.ended = true;
  }

  evidence(): ResponseEvidence {
    return unreadEvidence(this.#unreadable, this.bytes, this.ended);
  }
}
