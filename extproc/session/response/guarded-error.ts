/**
 * An error response of a provider at which guardrails look before the client gets it: it may repeat
 * the prompt, or contain secrets of the provider.
 */
import { envoyFailure, type Failure, failure } from '../../errors.ts';
import type { ConvertedError, Dialect } from '../../providers/adapter.ts';
import type { Action } from '../protocol.ts';
import { withDelay } from './converted-error.ts';
import { type ResponseEvidence, unreadEvidence } from './evidence.ts';
import type { ExaminedContext, ResponseHandler } from './handler.ts';
import { KeptDocument } from './kept-document.ts';
import type { HeldHeaders, IncomingBody } from './metered.ts';

/** More than any error. */
const MAX_ERROR_BYTES = 256 * 1024;

export interface ErrorForm {
  /** The status that the client gets. */
  readonly status: number;
  readonly dialect: Dialect;
  /** Present where the provider speaks another API. */
  readonly convert: ((document: Uint8Array) => ConvertedError) | undefined;
}

export class GuardedErrorResponse extends KeptDocument<ExaminedContext> {
  protected override readonly maxBytes = MAX_ERROR_BYTES;
  readonly #form: ErrorForm;
  /** The error is no JSON: the document that is examined is a string of it. */
  #text: { readonly bytes: Uint8Array; readonly document: Uint8Array } | undefined;
  /** The error is too long to be examined, and may pass. */
  #passes = false;

  constructor(context: ExaminedContext, incoming: IncomingBody, headers: HeldHeaders, form: ErrorForm) {
    super(context, incoming);
    this.#form = form;
    incoming.heldHeaders = headers;
  }

  /** An error has no token. */
  override get firstTokenMs(): undefined {
    return undefined;
  }

  override read(bytes: Uint8Array, nowMs: number, out: Action[]): ResponseHandler {
    const { complete } = this.incoming;
    if (this.#passes) {
      out.push({ type: 'response-body', bytes, endOfStream: complete });
    } else {
      this.relay(bytes, complete, nowMs, out);
    }
    this.ended ||= complete && !this.busy;
    return this;
  }

  protected override whole(document: Uint8Array, out: Action[]): void {
    const converted = this.#form.convert?.(document);
    if (converted !== undefined) {
      const { heldHeaders } = this.incoming;
      const mutation = withDelay(heldHeaders!.mutation, converted.retryAfterMs);
      this.incoming.heldHeaders = { type: 'response-headers', mutation };
    }
    const bytes = converted?.body ?? document;
    const text = Buffer.from(bytes).toString();
    if (isJson(text)) {
      this.examine(bytes, out);
    } else {
      this.#text = { bytes, document: Buffer.from(JSON.stringify(text)) };
      this.examine(this.#text.document, out);
    }
  }

  protected override deliver(examined: Uint8Array, out: Action[]): void {
    if (this.context.guard!.guard.block !== undefined) {
      this.#replace(out);
    } else if (this.#text === undefined) {
      super.deliver(examined, out);
    } else {
      const { bytes, document } = this.#text;
      const isSame = examined === document;
      super.deliver(isSame ? bytes : Buffer.from(JSON.parse(Buffer.from(examined).toString())), out);
    }
  }

  protected override tooLong(out: Action[]): void {
    const problem = this.context.guard!.unexamined('response_too_long');
    if (problem !== undefined) {
      this.fail(problem, out);
      return;
    }
    this.#passes = true;
    out.push(this.incoming.heldHeaders!, {
      type: 'response-body',
      bytes: this.taken(),
      endOfStream: this.incoming.complete,
    });
    this.incoming.heldHeaders = undefined;
  }

  override fail(problem: Failure, out: Action[]): void {
    if (!this.ended && !this.#passes) {
      this.failure = problem;
      this.#replace(out);
    }
  }

  /** Sends an error without what the provider wrote. */
  #replace(out: Action[]): void {
    const { dialect, status } = this.#form;
    const { mutation } = this.incoming.heldHeaders!;
    const set = [...(mutation.set ?? []), ['content-type', 'application/json'] as const];
    this.incoming.heldHeaders = { type: 'response-headers', mutation: { ...mutation, set } };
    super.deliver(dialect.errorBody(withheldError(status)), out);
  }

  override evidence(): ResponseEvidence {
    return unreadEvidence(false, this.incoming.bytes, this.ended);
  }
}

/** Returns the error that takes the place of one that must not pass. */
export function withheldError(status: number): Failure {
  const message = `The provider failed with status ${status}. Its message is withheld by a guardrail.`;
  return { ...failure('unreadable_answer', message), status, kind: envoyFailure(status).kind };
}

function isJson(text: string): boolean {
  try {
    return typeof JSON.parse(text) === 'object';
  } catch {
    return false;
  }
}
