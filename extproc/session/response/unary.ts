/**
 * Reads a response that is one JSON document, beside the bytes or, where the client asked for a
 * stream, before them.
 */
import type { Failure } from '../../errors.ts';
import type { Action } from '../protocol.ts';
import type { TextSample } from '../sample.ts';
import { BYTES_PER_TOKEN, type ResponseEvidence } from './evidence.ts';
import type { ExaminedContext, MeteredContext, ResponseHandler } from './handler.ts';
import { type IncomingBody, MeteredResponse, NO_BYTES } from './metered.ts';

export class UnaryResponse<Context extends ExaminedContext = MeteredContext> extends MeteredResponse<Context> {
  readonly #sample: TextSample;
  /** The document has arrived, and the client does not have it yet. */
  protected busy = false;

  constructor(context: Context, incoming: IncomingBody) {
    super(context, incoming);
    this.#sample = context.newSample();
    // A document that the client has been promised to the end cannot be truncated, whatever its
    // lease.
    if (context.lease !== undefined) {
      context.lease.reclaimable = false;
    }
  }

  read(bytes: Uint8Array, nowMs: number, out: Action[]): ResponseHandler {
    const { incoming } = this;
    if (bytes.length > 0) {
      this.context.adapter.unary.push(bytes, this.#sample);
      this.keep(bytes);
    }
    const last = incoming.complete;
    if (incoming.relayed) {
      this.relay(bytes, last, nowMs, out);
    }
    this.ended ||= last && !this.busy;
    return this;
  }

  /** Gives what the client gets to those who keep its text. */
  protected keep(bytes: Uint8Array): void {
    this.context.content?.document(bytes);
  }

  protected relay(bytes: Uint8Array, last: boolean, nowMs: number, out: Action[]): void {
    const { incoming } = this;
    if (bytes.length > 0 && incoming.firstTokenMs === undefined) {
      incoming.firstTokenMs = nowMs;
      out.push({ type: 'stop-timer' });
    }
    const endOfStream = last && !incoming.hasTrailers;
    if (bytes.length > 0 || endOfStream) {
      out.push({ type: 'response-body', bytes, endOfStream });
    }
    if (last && incoming.hasTrailers) {
      out.push({ type: 'response-trailers' });
    }
  }

  /** JSON has no error event: ends the body, so that the client sees an incomplete document. */
  fail(problem: Failure, out: Action[]): void {
    if (this.ended || !this.incoming.relayed) {
      return;
    }
    this.failure = problem;
    this.ended = true;
    out.push({ type: 'response-body', bytes: NO_BYTES, endOfStream: true });
  }

  override release(): void {
    super.release();
    this.context.adapter.unary.release();
  }

  evidence(): ResponseEvidence {
    const { unary: reader } = this.context.adapter;
    const { incoming } = this;
    const sample = this.#sample;
    const silent = incoming.upstreamEnded && this.context.hasOutput && sample.bytes === 0;
    const unreadable = incoming.undecodable || reader.broken || (silent && reader.usage === undefined);
    return {
      usage: reader.usage,
      usageFinal: reader.usage !== undefined,
      responseModel: reader.responseModel,
      serviceTier: reader.serviceTier,
      named: reader,
      priceUnits: reader.priceUnits,
      finished: this.ended,
      truncated: false,
      unreadable,
      partlyUnreadable: unreadable,
      waitedMs: 0,
      unreadMs: 0,
      countOutput: () => {
        const tokens = sample.tokens();
        return unreadable ? Math.max(tokens, Math.ceil(incoming.bytes / BYTES_PER_TOKEN)) : tokens;
      },
      // 0: text that we cannot see, such as calls of unknown tools or hidden reasoning alone.
      countExactly: () => sample.exactTokens() || undefined,
    };
  }
}
