/** Sends an error response of a provider that speaks another API in the client's form. */
import type { Failure } from '../../errors.ts';
import type { ResponseConversion } from '../../providers/adapter.ts';
import type { Action, ActionOf } from '../protocol.ts';
import { type ResponseEvidence, unreadEvidence } from './evidence.ts';
import type { MeteredContext, ResponseHandler } from './handler.ts';
import { type IncomingBody, MeteredResponse, NO_BYTES } from './metered.ts';

/** Longer than any error; the rest is ignored. */
const MAX_ERROR_BYTES = 64 * 1024;

type Headers = ActionOf<'response-headers'>;

export class ConvertedErrorResponse extends MeteredResponse {
  /** The status that the client gets. */
  readonly status: number;
  readonly #conversion: ResponseConversion;
  readonly #providerStatus: number;
  readonly #headers: Headers;
  readonly #type: string | undefined;
  #kept: Uint8Array[] = [];
  #keptBytes = 0;

  constructor(
    context: MeteredContext,
    incoming: IncomingBody,
    conversion: ResponseConversion,
    status: number,
    headers: Headers,
    type: string | undefined,
  ) {
    super(context, incoming);
    this.#conversion = conversion;
    this.#providerStatus = status;
    this.status = conversion.error(status, NO_BYTES).status;
    this.#headers = headers;
    this.#type = type;
    if (context.lease !== undefined) {
      context.lease.reclaimable = false;
    }
  }

  read(bytes: Uint8Array, _nowMs: number, out: Action[]): ResponseHandler {
    if (bytes.length > 0 && this.#keptBytes < MAX_ERROR_BYTES) {
      this.#kept.push(Buffer.from(bytes.subarray(0, MAX_ERROR_BYTES - this.#keptBytes)));
      this.#keptBytes += bytes.length;
    }
    if (this.incoming.complete) {
      this.#send(out);
    }
    return this;
  }

  /** An error without a body: the headers carry one. */
  withoutBody(out: Action[]): void {
    const { body } = this.#conversion.error(this.#providerStatus, NO_BYTES, this.#type);
    out.push({ type: 'response-headers', mutation: { ...this.#mutation, body } });
    this.ended = true;
  }

  #send(out: Action[]): void {
    const kept = Buffer.concat(this.#kept);
    const { body, retryAfterMs } = this.#conversion.error(this.#providerStatus, kept, this.#type);
    this.#kept = [];
    out.push(
      { type: 'response-headers', mutation: withDelay(this.#mutation, retryAfterMs) },
      { type: 'response-body', bytes: body, endOfStream: true },
    );
    this.ended = true;
  }

  get #mutation(): Headers['mutation'] {
    const { mutation } = this.#headers;
    return { ...mutation, set: [...(mutation.set ?? []), [':status', String(this.status)]] };
  }

  /** The client gets the provider's error in any case. */
  fail(_problem: Failure, out: Action[]): void {
    if (!this.ended) {
      this.#send(out);
    }
  }

  evidence(): ResponseEvidence {
    return unreadEvidence(false, this.incoming.bytes, this.ended);
  }
}

/** Adds how long the provider wants to wait, unless the client is to ask another one at once. */
export function withDelay(mutation: Headers['mutation'], retryAfterMs: number | undefined): Headers['mutation'] {
  const { set = [], remove = [] } = mutation;
  if (retryAfterMs === undefined || remove.includes('retry-after')) {
    return mutation;
  }
  return { ...mutation, set: [...set, ['retry-after', String(Math.ceil(retryAfterMs / 1000))]] };
}
