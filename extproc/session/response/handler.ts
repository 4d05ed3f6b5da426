/**
 * The provider's response on its way to the client, from its headers to its end. `open.ts` reads
 * the headers and chooses one of three handlers: `PassthroughResponse` relays bytes unread,
 * `UnaryResponse` reads one JSON document, `StreamedResponse` reads server-sent events and relays
 * them as far as their lease goes.
 */
import type { AnswerTexts } from '../../content/answer-texts.ts';
import type { Failure } from '../../errors.ts';
import type { Dialect, ResponseAdapter } from '../../providers/adapter.ts';
import type { BucketSnapshot } from '../../quota/store.ts';
import type { Meter } from '../../tokens/meter.ts';
import type { FailoverContext } from '../failover.ts';
import type { Action, EventOf } from '../protocol.ts';
import type { TextSample } from '../sample.ts';
import type { ResponseEvidence } from './evidence.ts';
import type { Lease } from './lease.ts';
import type { ResponseGuard } from './stream-guard.ts';

export interface ResponseContext {
  readonly dialect: Dialect;
  readonly requestId: string | undefined;
  readonly snapshots: readonly BucketSnapshot[];
  /**
   * Absent for responses that are not counted: passthrough, `free` endpoints, Envoy's local
   * replies.
   */
  readonly metered: MeteredContext | undefined;
  /** Present where guardrails look at the errors of a `free` endpoint. */
  readonly unmetered: ExaminedContext | undefined;
  /** Absent where the rule has no failover. */
  readonly failover: FailoverContext | undefined;
  /** Whether the client is told that its content is kept. */
  readonly keepsContent: boolean;
}

export interface MeteredContext {
  readonly adapter: ResponseAdapter;
  readonly newMeter: () => Meter;
  readonly newSample: () => TextSample;
  /** Absent where no quota counts output. */
  readonly lease: Lease | undefined;
  readonly inputTokens: () => number;
  readonly hasOutput: boolean;
  /** The client asked for a stream. */
  readonly streamed: boolean;
  /** Present where guardrails look at the response before the client gets it. */
  readonly guard: ResponseGuard | undefined;
  /** Present where policies keep the text that the client gets. */
  readonly content: AnswerTexts | undefined;
  /** Reports whether a response in an encoding that we cannot read may pass. */
  readonly mayPassUnread: (encoding: string) => boolean;
}

/** What is needed to examine an error, which nothing counts. */
export interface ExaminedContext
  extends Pick<MeteredContext, 'newSample' | 'lease' | 'hasOutput' | 'guard' | 'streamed' | 'content'> {
  readonly adapter: Pick<ResponseAdapter, 'unary' | 'plainText'>;
}

export type ResponseBodyEvent = EventOf<
  'response-body' | 'response-trailers' | 'inflated' | 'inflate-end' | 'extended' | 'inspected' | 'analyzed'
>;

export interface ResponseHandler {
  /** Complete, or ended by us. */
  readonly ended: boolean;
  /** Waits for an extension; the driver stops reading. */
  readonly blocked: boolean;
  /**
   * The client has the complete compressed response, and a part of it is still to be decompressed
   * and read.
   */
  readonly inflating: boolean;
  readonly bytes: number;
  readonly firstTokenMs: number | undefined;
  /** The failure with which we ended a stream. */
  readonly failure: Failure | undefined;
  /** The client gets this failure in place of the response, whose headers it does not have. */
  readonly refused: Failure | undefined;
  /**
   * Handles one event. Returns the handler of the next one: the first bytes decide how a response
   * is read.
   */
  handle(event: ResponseBodyEvent, nowMs: number, out: Action[]): ResponseHandler;
  /**
   * Ends a stream with an error event of the client API. Does nothing where that is no longer
   * possible.
   */
  fail(problem: Failure, out: Action[]): void;
  /**
   * Ends a stream as at the end of its budget, or as `fail` where nothing was sent. Returns false
   * for a document that has begun, which completes.
   */
  stop(problem: Failure, nowMs: number, out: Action[]): boolean;
  /** Reads what is left of the bytes that an abandoned request has delivered. */
  abandon(): void;
  /** Drops what is no longer needed after the charge. */
  release(): void;
  evidence(nowMs: number): ResponseEvidence;
}
