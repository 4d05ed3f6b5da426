/** What a session is given, and its states, each with its data. */
import type { Tokenizer } from '../../contract/policy.ts';
import type { Hold } from '../quota/store.ts';
import type { Meter } from '../tokens/meter.ts';
import type { OutputEstimates } from './admission.ts';
import type { PreparedRequest, RequestContext } from './request.ts';
import type { ResponseContext, ResponseHandler } from './response/handler.ts';
import type { Lease } from './response/lease.ts';
import type { ResponseHead } from './response/open.ts';

export interface SessionContext extends Omit<RequestContext, 'holdTokens'> {
  readonly newId: () => string;
  readonly estimates: OutputEstimates;
  /** Whether a response that ends now is in the sample whose counts are compared. */
  readonly compares: (nowMs: number) => boolean;
  readonly newMeter: (tokenizer: Tokenizer, model: string) => Meter;
  /** Failures do not name what the operator has configured. */
  readonly plainErrors: boolean;
}

/** The request headers or a part of the body is awaited. */
export interface Collecting {
  readonly phase: 'collecting';
}

/** The prompt is being counted, because a limit depends on the count. */
export interface Counting {
  readonly phase: 'counting';
  readonly prepared: PreparedRequest;
}

/** The quota store decides. */
export interface Reserving {
  readonly phase: 'reserving';
  /** Absent for passthrough. */
  readonly prepared: PreparedRequest | undefined;
  readonly sinceMs: number;
}

/** The request is at the backend, or Envoy has answered it before it was forwarded. */
export interface Forwarded {
  readonly phase: 'forwarded';
  /** Undefined where Envoy answered first. */
  readonly sinceMs: number | undefined;
  readonly prepared: PreparedRequest | undefined;
  readonly held: Held | undefined;
  readonly lease: Lease | undefined;
  readonly context: ResponseContext;
  /** Present from the response headers on. */
  head: ResponseHead | undefined;
  response: ResponseHandler | undefined;
}

/** What a reservation holds. */
export interface Held {
  readonly hold: Hold;
  readonly outputTokens: number;
  /** Corrected when the prompt is counted later. */
  inputTokens: number;
}

/** Replied to, complete, or abandoned; its record is written. */
export interface Over {
  readonly phase: 'over';
}

export type SessionState = Collecting | Counting | Reserving | Forwarded | Over;
