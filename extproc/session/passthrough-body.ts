/**
 * The body of a passthrough request: relayed unread, and kept back until the request is forwarded.
 */
import type { Failure } from '../errors.ts';
import type { Action, EventOf } from './protocol.ts';
import { bodyTooLarge } from './replies.ts';

export class PassthroughBody {
  bytes = 0;
  #maxBytes = Number.POSITIVE_INFINITY;
  /**
   * Undefined once the request is forwarded. The driver stops reading meanwhile, which bounds it.
   */
  #deferred: Action[] | undefined = [];

  /** Sets the limit of the whole body, including the parts that have arrived already. */
  limitTo(maxBytes: number): Failure | undefined {
    this.#maxBytes = maxBytes;
    return this.#tooLarge();
  }

  handle(event: EventOf<'request-body' | 'request-trailers'>, out: Action[]): Failure | undefined {
    const actions = this.#deferred ?? out;
    if (event.type === 'request-trailers') {
      actions.push({ type: 'request-trailers' });
      return undefined;
    }
    const { bytes, endOfStream } = event;
    this.bytes += bytes.length;
    const problem = this.#tooLarge();
    if (problem === undefined) {
      actions.push({ type: 'request-body', bytes, endOfStream });
    }
    return problem;
  }

  /** Drops the parts that are kept back: Envoy has replied already. */
  discard(): void {
    this.#deferred = undefined;
  }

  /** Sends the parts that are kept back; later parts go at once. */
  forward(out: Action[]): void {
    out.push(...(this.#deferred ?? []));
    this.#deferred = undefined;
  }

  #tooLarge(): Failure | undefined {
    return this.bytes > this.#maxBytes ? bodyTooLarge(this.#maxBytes) : undefined;
  }
}
