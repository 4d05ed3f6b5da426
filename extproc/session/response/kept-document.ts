/**
 * Keeps a document until its end, because the client gets another one: examined by guardrails, or
 * converted. Its headers wait for it where the client did not ask for a stream.
 */
import { type Failure, failure } from '../../errors.ts';
import type { Analyses } from '../../guard/stream/analyses.ts';
import { type DocumentStep, guardDocument } from '../../guard/stream/guarded-document.ts';
import { guardPlainText, isPlainText } from '../../guard/stream/guarded-plain-text.ts';
import type { Action, EventOf, Inspection } from '../protocol.ts';
import type { ExaminedContext, MeteredContext, ResponseBodyEvent, ResponseHandler } from './handler.ts';
import { NO_BYTES } from './metered.ts';
import { newAnalyses } from './stream-guard.ts';
import { UnaryResponse } from './unary.ts';

/** Smaller documents are examined at once: another turn of the event loop would cost more. */
const BYTES_AT_ONCE = 32 * 1024;

/** The examination of one document, in steps. */
class Examination implements Inspection {
  /** Present at the end: the document that the client gets, or undefined: it cannot be read. */
  result: { readonly document: Uint8Array | undefined } | undefined;
  /** Services have to answer first. */
  isWaiting = false;
  readonly #work: Generator<DocumentStep, Uint8Array | undefined>;

  constructor(work: Generator<DocumentStep, Uint8Array | undefined>) {
    this.#work = work;
  }

  step(): number {
    if (this.result !== undefined || this.isWaiting) {
      return 0;
    }
    const { done, value } = this.#work.next();
    if (done) {
      this.result = { document: value };
      return 0;
    }
    this.isWaiting = value === 'answers';
    return value === 'answers' ? 0 : Math.max(1, value);
  }
}

export abstract class KeptDocument<Context extends ExaminedContext = MeteredContext> extends UnaryResponse<Context> {
  #kept: Uint8Array[] = [];
  #keptBytes = 0;
  #examination: Examination | undefined;
  #analyses: Analyses | undefined;
  /** The document that is being examined. */
  #whole: Uint8Array = NO_BYTES;

  /** Longer documents are not kept. */
  protected abstract readonly maxBytes: number;

  /** Takes the whole document of the provider. */
  protected abstract whole(document: Uint8Array, out: Action[]): void;

  /** Takes a document that is longer than what is kept. */
  protected abstract tooLong(out: Action[]): void;

  override handle(event: ResponseBodyEvent, nowMs: number, out: Action[]): ResponseHandler {
    if (event.type === 'inspected' && !this.ended) {
      this.#proceed(out);
      return this;
    }
    return super.handle(event, nowMs, out);
  }

  protected override relay(bytes: Uint8Array, last: boolean, nowMs: number, out: Action[]): void {
    if (bytes.length > 0 && this.incoming.firstTokenMs === undefined) {
      this.incoming.firstTokenMs = nowMs;
      out.push({ type: 'stop-timer' });
    }
    this.#keptBytes += bytes.length;
    this.#kept.push(Buffer.from(bytes));
    if (this.#keptBytes > this.maxBytes) {
      this.tooLong(out);
    } else if (last) {
      this.whole(this.taken(), out);
    }
  }

  /** Returns what was kept, and keeps it no longer. */
  protected taken(): Uint8Array {
    const whole = Buffer.concat(this.#kept);
    this.#kept = [];
    return whole;
  }

  /** Sends a document in the client's form, as guardrails let it pass. */
  protected examine(document: Uint8Array, out: Action[]): void {
    const { guard, adapter } = this.context;
    if (guard === undefined) {
      this.deliver(document, out);
      return;
    }
    this.#whole = document;
    this.#analyses = newAnalyses(guard.guard);
    const isPlain = adapter.plainText === true && isPlainText(document);
    const examine = isPlain ? guardPlainText : guardDocument;
    this.#examination = new Examination(examine(document, guard.guard, this.#analyses));
    this.#proceed(out);
  }

  protected override analyzed({ id, result }: EventOf<'analyzed'>, _nowMs: number, out: Action[]): void {
    const examination = this.#examination;
    if (examination === undefined || this.ended) {
      return;
    }
    this.#analyses!.answer(id, result);
    this.#ask(out);
    if (!this.#analyses!.isWaiting) {
      examination.isWaiting = false;
      this.#proceed(out);
    }
  }

  /** Goes on as far as possible now. */
  #proceed(out: Action[]): void {
    const examination = this.#examination!;
    for (let bytes = 0; bytes < BYTES_AT_ONCE; ) {
      const step = examination.step();
      if (step === 0) {
        break;
      }
      bytes += step;
    }
    if (examination.result !== undefined) {
      this.#examined(examination.result.document, out);
      return;
    }
    this.busy = true;
    this.#ask(out);
    if (!examination.isWaiting) {
      out.push({ type: 'inspect', inspection: examination });
    }
  }

  #ask(out: Action[]): void {
    const questions = this.#analyses?.questions.splice(0) ?? [];
    out.push(...questions.map((question) => this.context.guard!.ask(question)));
  }

  #examined(document: Uint8Array | undefined, out: Action[]): void {
    const { guard, unexamined, unanswered } = this.context.guard!;
    this.busy = false;
    const failures = this.#analyses?.failures ?? [];
    const problem =
      (failures.length > 0 ? unanswered(failures) : undefined) ??
      (document === undefined ? unexamined('unreadable_response') : undefined);
    if (guard.block !== undefined) {
      this.failure = failure('content_blocked', guard.block.message);
    } else if (problem !== undefined) {
      this.fail(problem, out);
      return;
    }
    this.deliver(document ?? this.#whole, out);
  }

  /**
   * Sends the end of the response, with its headers. Trailers of the provider are dropped: they may
   * describe its body.
   */
  protected deliver(bytes: Uint8Array, out: Action[]): void {
    const { heldHeaders } = this.incoming;
    this.incoming.heldHeaders = undefined;
    this.#whole = NO_BYTES;
    this.#examination = undefined;
    if (heldHeaders !== undefined) {
      out.push(heldHeaders);
    }
    this.taken();
    this.ended = true;
    this.#keepText(bytes);
    out.push({ type: 'response-body', bytes, endOfStream: true });
  }

  /** The client gets another document than the provider sent. */
  protected override keep(_bytes: Uint8Array): void {}

  #keepText(bytes: Uint8Array): void {
    const { content, streamed } = this.context;
    if (content !== undefined && this.failure === undefined) {
      if (streamed) {
        content.stream(bytes);
      } else {
        content.document(bytes);
      }
    }
  }

  /** The client gets the failure in place of the response, unless it has the headers. */
  override fail(problem: Failure, out: Action[]): void {
    if (this.ended || this.refused !== undefined) {
      return;
    }
    if (this.incoming.heldHeaders !== undefined) {
      this.refused = problem;
      return;
    }
    this.failure = problem;
    this.deliver(this.failed(problem), out);
  }

  /** Returns what ends a response whose headers the client has. */
  protected failed(_problem: Failure): Uint8Array {
    return NO_BYTES;
  }

  override release(): void {
    super.release();
    this.taken();
    this.#whole = NO_BYTES;
    this.#examination = undefined;
  }
}
