/** The context of a session, and its states, each with its data. */
import type { FailoverCause, Tokenizer } from '../../contract/policy.ts';
import type { Meter } from '../tokens/meter.ts';
import type { AdmissionContext, Held } from './admission/admission.ts';
import type { PreparedRequest, RequestContext } from './request.ts';
import type { ResponseContext, ResponseHandler } from './response/handler.ts';
import type { Lease } from './response/lease.ts';
import type { ResponseHead } from './response/open.ts';

export interface SessionContext extends RequestContext, AdmissionContext {
  /** Whether a response that ends now is in the sample whose counts are compared. */
  readonly compares: (nowMs: number) => boolean;
  readonly newMeter: (tokenizer: Tokenizer, model: string) => Meter;
}

/** The request arrives, or a step of admission waits. */
export interface Admitting {
  readonly phase: 'admitting';
}

/** The request is at the backend, or Envoy has replied before it was forwarded. */
export interface Forwarded {
  readonly phase: 'forwarded';
  /** Undefined where Envoy replied first. */
  readonly sinceMs: number | undefined;
  readonly prepared: PreparedRequest | undefined;
  readonly held: Held | undefined;
  readonly lease: Lease | undefined;
  readonly context: ResponseContext;
  /** Present from the response headers on. */
  head: ResponseHead | undefined;
  response: ResponseHandler | undefined;
  /** Present until the first token, where its time decides about later requests. */
  firstTokenKey: string | undefined;
  /** Why the backend rests since this attempt. */
  failed: FailoverCause | undefined;
}

/** Replied to, complete, or abandoned; its record is written. */
export interface Over {
  readonly phase: 'over';
}

export type SessionState = Admitting | Forwarded | Over;
