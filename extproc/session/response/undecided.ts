/**
 * A counted response before its first bytes, which decide how it is read: content types are missing
 * or wrong too often.
 */
import type { Failure } from '../../errors.ts';
import type { Action } from '../protocol.ts';
import { ConvertedDocument } from './converted-document.ts';
import { type ResponseEvidence, unreadEvidence } from './evidence.ts';
import { formOf, type ResponseForm } from './form.ts';
import { GuardedAnswer } from './guarded-answer.ts';
import type { ResponseHandler } from './handler.ts';
import { MeteredResponse } from './metered.ts';
import { StreamedResponse } from './streamed.ts';
import { UnaryResponse } from './unary.ts';

export class UndecidedResponse extends MeteredResponse {
  read(bytes: Uint8Array, nowMs: number, out: Action[]): ResponseHandler {
    const { context, incoming } = this;
    const { expected } = incoming;
    const form = context.adapter.anyBytes && !context.streamed ? 'unary' : formOf(bytes, expected);
    if (form === undefined && !incoming.complete) {
      if (incoming.relayed && bytes.length > 0 && incoming.heldHeaders === undefined) {
        out.push({ type: 'response-body', bytes, endOfStream: false });
      }
      return this;
    }
    const handler = this.#handlerOf(form ?? expected);
    const { heldHeaders } = incoming;
    if (heldHeaders !== undefined && handler instanceof StreamedResponse) {
      incoming.heldHeaders = undefined;
      out.push(heldHeaders);
    }
    return handler.read(bytes, nowMs, out);
  }

  #handlerOf(form: ResponseForm): MeteredResponse {
    const { context, incoming } = this;
    const { conversion } = context.adapter;
    if (conversion === undefined) {
      return form === 'stream' ? new StreamedResponse(context, incoming) : this.#documentOf();
    }
    // A stream that nobody asked for is not in the provider's API.
    return form === 'stream' && context.streamed
      ? new StreamedResponse(context, incoming)
      : new ConvertedDocument(context, incoming, conversion);
  }

  #documentOf(): MeteredResponse {
    const { context, incoming } = this;
    const { guard } = context;
    return guard !== undefined && incoming.relayed
      ? new GuardedAnswer(context, incoming)
      : new UnaryResponse(context, incoming);
  }

  fail(problem: Failure, out: Action[]): void {
    if (this.ended || !this.incoming.relayed) {
      return;
    }
    if (this.incoming.heldHeaders !== undefined) {
      this.refused = problem;
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
