/**
 * A counted response before its first bytes, which decide how it is read: content types are missing
 * or wrong too often.
 */
import type { Failure } from '../../errors.ts';
import type { Action } from '../protocol.ts';
import { type ResponseEvidence, unreadEvidence } from './evidence.ts';
import { formOf } from './form.ts';
import type { ResponseHandler } from './handler.ts';
import { MeteredResponse } from './metered.ts';
import { StreamedResponse } from './streamed.ts';
import { UnaryResponse } from './unary.ts';

export class UndecidedResponse extends MeteredResponse {
  read(bytes: Uint8Array, nowMs: number, out: Action[]): ResponseHandler {
    const { context, incoming } = this;
    const expected = incoming.relayed ? 'stream' : 'unary';
    const form = formOf(bytes, expected);
    if (form === undefined && !incoming.complete) {
      if (incoming.relayed && bytes.length > 0) {
        out.push({ type: 'response-body', bytes, endOfStream: false });
      }
      return this;
    }
    const Handler = (form ?? expected) === 'unary' ? UnaryResponse : StreamedResponse;
    return new Handler(context, incoming).read(bytes, nowMs, out);
  }

  fail(problem: Failure, out: Action[]): void {
    if (this.ended || !this.incoming.relayed) {
      return;
    }
    this.failure = problem;
    this.ended = true;
    out.push({ type: 'response-body', bytes: this.context.adapter.writer.fail(problem), endOfStream: true });
  }

  override release(): void {
    super.release();
    this.context.adapter.unary.release();
  }

  evidence(): ResponseEvidence {
    const { undecodable, bytes, relayed } = this.incoming;
    return unreadEvidence(undecodable, bytes, this.ended && !relayed);
  }
}
