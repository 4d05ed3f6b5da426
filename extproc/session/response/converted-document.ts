/**
 * Keeps a document of a provider that speaks another API until its end, and sends it in the
 * client's form: as a document, whose headers wait for it, or as a stream where the client asked
 * for one.
 */
import { type Failure, failure, isFailure } from '../../errors.ts';
import type { ResponseConversion } from '../../providers/adapter.ts';
import type { Action, EventOf } from '../protocol.ts';
import type { MeteredContext } from './handler.ts';
import { KeptDocument } from './kept-document.ts';
import { type IncomingBody, NO_BYTES } from './metered.ts';
import { StreamGuard } from './stream-guard.ts';

/** More than any answer with tool calls; answers with images are not converted. */
const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024;

const documentTooLong = failure(
  'unreadable_answer',
  'The response of the provider exceeds 16 MB and cannot be converted. Ask for shorter output.',
);

export class ConvertedDocument extends KeptDocument {
  protected override readonly maxBytes = MAX_DOCUMENT_BYTES;
  readonly #conversion: ResponseConversion;
  /** Present where guardrails look at a stream. */
  #client: StreamGuard | undefined;
  readonly #events: Uint8Array[] = [];

  constructor(context: MeteredContext, incoming: IncomingBody, conversion: ResponseConversion) {
    super(context, incoming);
    this.#conversion = conversion;
  }

  protected override whole(document: Uint8Array, out: Action[]): void {
    const { streamed, guard } = this.context;
    if (!streamed) {
      const converted = this.#conversion.document(document);
      if (isFailure(converted)) {
        this.fail(converted, out);
      } else {
        this.examine(converted, out);
      }
      return;
    }
    const stream = this.#conversion.streamOf(document);
    if (guard === undefined) {
      this.deliver(stream, out);
      return;
    }
    this.#client = new StreamGuard(guard, (bytes, start, end) =>
      this.#events.push(Buffer.from(bytes.subarray(start, end))),
    );
    this.#client.finish(stream);
    this.#streamed(out);
  }

  protected override analyzed(event: EventOf<'analyzed'>, nowMs: number, out: Action[]): void {
    if (this.#client === undefined) {
      super.analyzed(event, nowMs, out);
    } else if (!this.ended) {
      this.#client.answer(event.id, event.result, nowMs);
      this.#streamed(out);
    }
  }

  /** Sends a stream once guardrails have decided about all of it. */
  #streamed(out: Action[]): void {
    const client = this.#client!;
    const problem = client.problem(0);
    this.busy = problem === undefined && client.isWaiting;
    if (this.busy) {
      out.push(...client.questions());
    } else if (problem !== undefined && this.context.guard!.guard.block === undefined) {
      this.fail(problem, out);
    } else {
      client.ending(NO_BYTES);
      this.failure = problem;
      this.deliver(Buffer.concat(this.#events), out);
    }
  }

  protected override tooLong(out: Action[]): void {
    this.fail(documentTooLong, out);
  }

  protected override failed(problem: Failure): Uint8Array {
    return this.context.streamed ? this.context.adapter.writer.fail(problem) : super.failed(problem);
  }
}
