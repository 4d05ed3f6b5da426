/**
 * The body of a passthrough request: relayed unread, and kept back while its reservation is
 * pending.
 */
import type { Failure } from '../errors.ts';
import type { Action, EventOf } from './protocol.ts';
import type { Request } from './request.ts';

export class PassthroughRequest {
  readonly #request: Request;
  readonly #target: string;
  /**
   * Undefined once the request is forwarded. The driver stops reading meanwhile, which bounds it.
   */
  #deferred: Action[] | undefined = [];

  constructor(request: Request, target: string) {
    this.#request = request;
    this.#target = target;
  }

  handle(event: EventOf<'request-body' | 'request-trailers'>, out: Action[]): Failure | undefined {
    const actions = this.#deferred ?? out;
    if (event.type === 'request-trailers') {
      actions.push({ type: 'request-trailers' });
      return undefined;
    }
    const { bytes, endOfStream } = event;
    const problem = this.#request.pass(bytes);
    if (problem === undefined) {
      actions.push({ type: 'request-body', bytes, endOfStream });
    }
    return problem;
  }

  /** Drops what is kept back: Envoy has replied already. */
  discard(): void {
    this.#deferred = undefined;
  }

  forward(out: Action[]): void {
    out.push({ type: 'request-headers', mutation: this.#request.mutation(this.#target) }, ...(this.#deferred ?? []));
    this.#deferred = undefined;
  }
}
