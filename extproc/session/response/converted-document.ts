/**
 * Keeps a document of a provider that speaks another API until its end, and sends it in the
 * client's form: as a document, whose headers wait for it, or as a stream where the client asked
 * for one.
 */
import { type Failure, failure, isFailure } from '../../errors.ts';
import type { ResponseConversion } from '../../providers/adapter.ts';
import type { Action } from '../protocol.ts';
import type { MeteredContext } from './handler.ts';
import type { IncomingBody } from './metered.ts';
import { UnaryResponse } from './unary.ts';

/** More than any answer with tool calls; answers with images are not converted. */
const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024;

const documentTooLong = failure(
  'unreadable_answer',
  'The response of the provider exceeds 16 MB and cannot be converted. Ask for shorter output.',
);

export class ConvertedDocument extends UnaryResponse {
  readonly #conversion: ResponseConversion;
  #kept: Uint8Array[] = [];
  #keptBytes = 0;

  constructor(context: MeteredContext, incoming: IncomingBody, conversion: ResponseConversion) {
    super(context, incoming);
    this.#conversion = conversion;
  }

  protected override relay(bytes: Uint8Array, last: boolean, nowMs: number, out: Action[]): void {
    if (bytes.length > 0 && this.incoming.firstTokenMs === undefined) {
      this.incoming.firstTokenMs = nowMs;
      out.push({ type: 'stop-timer' });
    }
    this.#keptBytes += bytes.length;
    if (this.#keptBytes > MAX_DOCUMENT_BYTES) {
      this.fail(documentTooLong, out);
      return;
    }
    this.#kept.push(Buffer.from(bytes));
    if (last) {
      this.#send(out);
    }
  }

  #send(out: Action[]): void {
    const whole = Buffer.concat(this.#kept);
    this.#kept = [];
    if (this.context.streamed) {
      this.#end(this.#conversion.streamOf(whole), out);
      return;
    }
    const document = this.#conversion.document(whole);
    if (isFailure(document)) {
      this.fail(document, out);
      return;
    }
    const { heldHeaders } = this.incoming;
    this.incoming.heldHeaders = undefined;
    if (heldHeaders !== undefined) {
      out.push(heldHeaders);
    }
    this.#end(document, out);
  }

  override fail(problem: Failure, out: Action[]): void {
    if (this.ended || this.refused !== undefined) {
      return;
    }
    if (!this.context.streamed) {
      this.refused = problem;
      return;
    }
    this.failure = problem;
    this.#end(this.context.adapter.writer.fail(problem), out);
  }

  /** Trailers of the provider are dropped: they may describe its body. */
  #end(bytes: Uint8Array, out: Action[]): void {
    this.#kept = [];
    this.ended = true;
    out.push({ type: 'response-body', bytes, endOfStream: true });
  }
}
