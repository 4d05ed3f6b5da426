/**
 * Keeps a document until its end, because the client gets another one: examined by guardrails, or
 * converted. Its headers wait for it where the client did not ask for a stream.
 */
import { type Failure, failure } from '../../errors.ts';
import { guardDocument } from '../../guard/stream/guarded-document.ts';
import type { Action, Inspection } from '../protocol.ts';
import type { ResponseBodyEvent, ResponseHandler } from './handler.ts';
import { NO_BYTES } from './metered.ts';
import { UnaryResponse } from './unary.ts';

/** Smaller documents are examined at once: another turn of the event loop would cost more. */
const BYTES_AT_ONCE = 32 * 1024;

/** The examination of one document, in steps. */
class Examination implements Inspection {
  /** Present at the end: the document that the client gets, or undefined: it cannot be read. */
  result: { readonly document: Uint8Array | undefined } | undefined;
  readonly #work: Generator<number, Uint8Array | undefined>;

  constructor(work: Generator<number, Uint8Array | undefined>) {
    this.#work = work;
  }

  step(): number {
    if (this.result !== undefined) {
      return 0;
    }
    const { done, value } = this.#work.next();
    if (done) {
      this.result = { document: value };
      return 0;
    }
    return Math.max(1, value);
  }
}

export abstract class KeptDocument extends UnaryResponse {
  #kept: Uint8Array[] = [];
  #keptBytes = 0;
  #examination: Examination | undefined;
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
      this.#examined(out);
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
    const { guard } = this.context;
    if (guard === undefined) {
      this.deliver(document, out);
      return;
    }
    this.#whole = document;
    const examination = new Examination(guardDocument(document, guard.guard));
    this.#examination = examination;
    for (let bytes = 0; examination.result === undefined && bytes < BYTES_AT_ONCE; ) {
      bytes += examination.step();
    }
    if (examination.result === undefined) {
      this.busy = true;
      out.push({ type: 'inspect', inspection: examination });
    } else {
      this.#examined(out);
    }
  }

  #examined(out: Action[]): void {
    const { guard, unexamined } = this.context.guard!;
    const { document } = this.#examination!.result!;
    this.busy = false;
    const problem = document === undefined ? unexamined('unreadable_response') : undefined;
    if (problem !== undefined) {
      this.fail(problem, out);
      return;
    }
    if (guard.block !== undefined) {
      this.failure = failure('content_blocked', guard.block.message);
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
    out.push({ type: 'response-body', bytes, endOfStream: true });
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
