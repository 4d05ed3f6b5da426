/** A document of the client's own API at which guardrails look before the client gets it. */
import type { Failure } from '../../errors.ts';
import type { Action } from '../protocol.ts';
import { KeptDocument } from './kept-document.ts';

/** More than any answer, except for the longest ones with images. */
const MAX_EXAMINED_BYTES = 32 * 1024 * 1024;

export class GuardedAnswer extends KeptDocument {
  protected override readonly maxBytes = MAX_EXAMINED_BYTES;
  /** The document is too long to be examined, and may pass. */
  #passes = false;

  protected override relay(bytes: Uint8Array, last: boolean, nowMs: number, out: Action[]): void {
    if (!this.#passes) {
      super.relay(bytes, last, nowMs, out);
    } else if (bytes.length > 0 || last) {
      out.push({ type: 'response-body', bytes, endOfStream: last });
    }
  }

  protected override whole(document: Uint8Array, out: Action[]): void {
    this.examine(document, out);
  }

  protected override tooLong(out: Action[]): void {
    const problem: Failure | undefined = this.context.guard!.unexamined('response_too_long');
    if (problem !== undefined) {
      this.fail(problem, out);
      return;
    }
    this.#passes = true;
    const { heldHeaders, complete } = this.incoming;
    this.incoming.heldHeaders = undefined;
    if (heldHeaders !== undefined) {
      out.push(heldHeaders);
    }
    out.push({ type: 'response-body', bytes: this.taken(), endOfStream: complete });
  }
}
