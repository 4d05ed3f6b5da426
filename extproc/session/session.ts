/**
 * One HTTP request from its headers to its charge, as a pure state machine: events in, actions out.
 * `Request` reads what the client asks for, the steps of `Admission` decide whether it may go
 * upstream, and a `ResponseHandler` reads what comes back. The session forwards the request and
 * settles. It keeps the policy that was in force when it began.
 */
import { ATTEMPT_RETRY_HEADER } from '../../contract/headers.ts';
import type { Caller } from '../caller.ts';
import { type Failure, isFailure, withPlainMessage } from '../errors.ts';
import type { HeaderList } from '../exchange.ts';
import { type Interruption, interruptedBy } from '../interruption.ts';
import type { RequestRecord } from '../record.ts';
import { Admission, type AdmissionEvent, type AdmissionResult, type BodyComplete } from './admission/admission.ts';
import { noteGuardCall } from './admission/guardrails.ts';
import { admissionSteps } from './admission/steps.ts';
import { LATE_ATTEMPT_MS } from './attempts.ts';
import { beginningRest, brokenAttempt, type FailedAttempt, lateAttempt } from './failover.ts';
import { firstTokenTimeoutMs, forward, forwardAttempt, timeFirstToken, uncountedResponse } from './forward.ts';
import type { Action, EventOf, SessionEvent } from './protocol.ts';
import {
  credentialRevoked,
  firstTokenLate,
  internalFault,
  jsonResponse,
  refusal,
  refusedAttempt,
  stoppedByOperator,
  tooManyBodies,
  uploadTooSlow,
} from './replies.ts';
import { Request } from './request.ts';
import type { ResponseBodyEvent, ResponseHandler } from './response/handler.ts';
import { isBackendWell, openResponse } from './response/open.ts';
import { costOfHold, type Ending, requestCost, requestRecord, type SettlementInput, settlement } from './settlement.ts';
import type { Forwarded, SessionContext, SessionState } from './state.ts';

const bodyComplete: BodyComplete = { type: 'body-complete' };
const cancelExtension: Action = { type: 'cancel' };
const stopInspection: Action = { type: 'stop-inspection' };

/** What is known of a request in flight without counting. */
export interface LiveFacts {
  readonly startMs: number;
  readonly caller: Caller | undefined;
  /** Undefined until it is chosen. */
  readonly backend: string | undefined;
  /** Whether the request waits for its prompt to be counted or for the holds of others. */
  readonly waits: boolean;
}

export class Session {
  readonly #context: SessionContext;
  readonly #request: Request;
  readonly #admission: Admission;
  #state: SessionState = { phase: 'admitting' };
  #startMs = 0;
  #stoppedBy: string | undefined;

  constructor(context: SessionContext, steps = admissionSteps) {
    this.#context = context;
    this.#request = new Request(context);
    this.#admission = new Admission(this.#request, context, steps);
  }

  get requestId(): string | undefined {
    return this.#request.id;
  }

  /** Whether more of a body is awaited that is kept in memory. */
  get collecting(): boolean {
    return this.#state.phase === 'admitting' && this.#request.collecting;
  }

  /** The operator who ends the request, or has ended it. */
  get stoppedBy(): string | undefined {
    return this.#stoppedBy;
  }

  get over(): boolean {
    return this.#state.phase === 'over';
  }

  /**
   * Handles one event. Returns whether the driver must stop reading until the session is unblocked.
   */
  handle(event: SessionEvent, nowMs: number, out: Action[]): boolean {
    // The first event is a response where Envoy replies before the request headers reach us.
    this.#startMs ||= nowMs;
    const problem = this.#step(event, nowMs, out);
    if (problem !== undefined) {
      this.#refuse(problem, nowMs, out);
    }
    const refused = this.#forwarded?.response?.refused;
    if (refused !== undefined) {
      this.#reply(refused, nowMs, out);
    }
    if (this.#forwarded?.response?.ended) {
      this.#finish({}, nowMs, out);
    }
    return this.#blocked;
  }

  /**
   * Returns the record of a request that failed by a fault of ours; its hold is charged in full.
   */
  faulted(nowMs: number): RequestRecord {
    const forwarded = this.#forwarded;
    const record = requestRecord(
      this.#settlementInput({ failure: internalFault }, forwarded, nowMs),
      costOfHold(forwarded),
    );
    return { ...record, status: record.status ?? internalFault.status };
  }

  /** Undefined: the request is over. */
  get facts(): LiveFacts | undefined {
    if (this.#startMs === 0 || this.over) {
      return undefined;
    }
    const { identity, choice, reservingSinceMs } = this.#admission;
    return {
      startMs: this.#startMs,
      caller: identity?.proven.caller,
      backend: choice?.target.backend,
      waits: reservingSinceMs > 0 && this.#state.phase === 'admitting',
    };
  }

  /** The tokens that the request holds of its quotas. */
  get heldTokens(): number {
    const { held, lease } = this.#forwarded ?? {};
    return held === undefined ? 0 : held.inputTokens + (lease?.tokens ?? held.outputTokens);
  }

  /** Returns the record of a request in flight, as if it ended now; undefined: it is over. */
  soFar(nowMs: number): RequestRecord | undefined {
    if (this.#startMs === 0 || this.over) {
      return undefined;
    }
    const atEnd = this.#settlementInput({}, this.#forwarded, nowMs);
    // Only a response that ends takes part in the sample whose counts are compared.
    const input = { ...atEnd, compares: () => false };
    return requestRecord(input, requestCost(input));
  }

  get #forwarded(): Forwarded | undefined {
    return this.#state.phase === 'forwarded' ? this.#state : undefined;
  }

  get #blocked(): boolean {
    return this.#admission.blocked || this.#forwarded?.response?.blocked === true;
  }

  #step(event: SessionEvent, nowMs: number, out: Action[]): Failure | undefined {
    switch (event.type) {
      case 'request-headers':
        return this.#requestHeaders(event, nowMs, out);
      case 'request-body':
      case 'request-trailers':
        return this.#requestPart(event, nowMs, out);
      case 'overloaded':
        return tooManyBodies;
      case 'upload-late':
        return uploadTooSlow;
      case 'tokens-verified':
      case 'counted':
      case 'reserved':
      case 'quotas-read':
        return this.#resume(event, nowMs, out);
      case 'inspected':
      case 'analyzed':
        return this.#inspected(event, nowMs, out);
      case 'response-headers':
        this.#responseHeaders(event, nowMs, out);
        return undefined;
      case 'response-body':
      case 'response-trailers':
      case 'inflated':
      case 'inflate-end':
      case 'extended':
        this.#respond(event, nowMs, out);
        return undefined;
      case 'first-token-timeout':
        this.#firstTokenLate(nowMs, out);
        return undefined;
      case 'attempt':
        this.#attempt(event.backend, nowMs, out);
        return undefined;
      case 'attempt-response':
        this.#attemptResponse(event.headers, nowMs, out);
        return undefined;
      case 'revoked':
        return this.#revoked(nowMs, out);
      case 'stopped':
        return this.#stopped(event.by, nowMs, out);
      case 'closed':
        this.#closed(event.broken, nowMs, out);
        return undefined;
      default:
        throw new Error(`unknown event ${(event satisfies never as SessionEvent).type}`);
    }
  }

  #inspected(event: EventOf<'inspected' | 'analyzed'>, nowMs: number, out: Action[]): Failure | undefined {
    if (event.type === 'analyzed') {
      noteGuardCall(this.#admission, event, nowMs);
    }
    if (this.#state.phase === 'admitting') {
      return this.#resume(event, nowMs, out);
    }
    this.#respond(event, nowMs, out);
    return undefined;
  }

  #requestHeaders(event: EventOf<'request-headers'>, nowMs: number, out: Action[]): Failure | undefined {
    return this.#request.headers(event) ?? this.#continue(this.#admission.run(nowMs, out), nowMs, out);
  }

  #requestPart(event: EventOf<'request-body' | 'request-trailers'>, nowMs: number, out: Action[]): Failure | undefined {
    if (this.#state.phase === 'over') {
      return undefined;
    }
    const problem = this.#request.part(event, out);
    if (problem !== undefined) {
      // A response that has begun keeps its status.
      return this.#forwarded?.head === undefined ? problem : undefined;
    }
    return this.#request.complete ? this.#resume(bodyComplete, nowMs, out) : undefined;
  }

  #resume(event: AdmissionEvent, nowMs: number, out: Action[]): Failure | undefined {
    return this.#continue(this.#admission.resume(event, nowMs, out), nowMs, out);
  }

  #continue(result: AdmissionResult, nowMs: number, out: Action[]): Failure | undefined {
    if (result === 'admitted') {
      this.#forward(nowMs, out);
    } else if (result !== 'waiting') {
      if (isFailure(result)) {
        return result;
      }
      out.push({ type: 'immediate-response', response: jsonResponse(result.reply, this.#request.id, result.headers) });
      this.#finish({ replyStatus: 200 }, nowMs, out);
    }
    return undefined;
  }

  #forward(nowMs: number, out: Action[]): void {
    this.#state = forward(this.#admission, this.#context, nowMs, out);
    if (this.#admission.attempts === undefined) {
      this.#releaseBody(out);
    }
    this.#awaitToken(out);
  }

  #awaitToken(out: Action[]): void {
    const timeoutMs = firstTokenTimeoutMs(this.#admission);
    if (timeoutMs !== undefined) {
      out.push({ type: 'start-timer', ms: timeoutMs });
    }
  }

  /** Envoy begins an attempt and awaits its request. */
  #attempt(backend: string, nowMs: number, out: Action[]): void {
    const admission = this.#admission;
    const { attempts } = admission;
    const forwarded = this.#forwarded;
    this.#rest(attempts?.unanswered(forwarded?.context.failover, nowMs), out);
    const isOpen = forwarded !== undefined && forwarded.response === undefined && attempts?.mayContinue === true;
    const prepared = isOpen ? attempts.begin(backend, nowMs) : undefined;
    if (attempts === undefined || prepared === undefined) {
      out.push({ type: 'attempt-refused', response: refusedAttempt });
      return;
    }
    if (attempts.before > 0) {
      if (prepared.converted !== undefined) {
        this.#request.keepAgain(out);
      }
      admission.choice = prepared.choice;
      admission.prepared = prepared;
      this.#awaitToken(out);
    }
    this.#state = forwardAttempt(admission, attempts, prepared, this.#context, nowMs, out);
  }

  #attemptResponse(headers: HeaderList, nowMs: number, out: Action[]): void {
    const forwarded = this.#forwarded;
    const failed = this.#admission.attempts?.answered(forwarded?.context.failover, headers, nowMs);
    this.#rest(failed, out);
    const set: HeaderList = failed === undefined ? [] : [[ATTEMPT_RETRY_HEADER, 'true']];
    out.push({ type: 'attempt-response', mutation: { set } });
  }

  #responseHeaders(event: EventOf<'response-headers'>, nowMs: number, out: Action[]): void {
    if (this.#state.phase === 'over') {
      return;
    }
    if (this.#state.phase !== 'forwarded') {
      this.#repliedByEnvoy(event, out);
    }
    const forwarded = this.#forwarded!;
    this.#releaseBody(out);
    const { head, handler, failed } = openResponse(forwarded.context, event, nowMs, out);
    forwarded.head = head;
    forwarded.response = handler;
    if (forwarded.prepared !== undefined) {
      out.push({ type: 'health', target: forwarded.prepared.choice.target.id, well: isBackendWell(head) });
    }
    this.#rest(failed, out);
  }

  #rest(failed: FailedAttempt | undefined, out: Action[]): void {
    const forwarded = this.#forwarded;
    if (failed !== undefined && forwarded?.prepared !== undefined) {
      forwarded.failed = failed.cause;
      out.push({ type: 'rest', rest: beginningRest(failed, forwarded.prepared.choice) });
    }
  }

  /** Envoy replied before we forwarded the request. */
  #repliedByEnvoy(event: EventOf<'response-headers'>, out: Action[]): void {
    this.#admission.cancel(out);
    this.#releaseBody(out);
    this.#request.passthroughBody?.discard();
    if (event.path !== undefined) {
      this.#request.repliedAt(event.path);
    }
    this.#state = uncountedResponse(this.#admission, undefined);
  }

  #respond(event: ResponseBodyEvent, nowMs: number, out: Action[]): void {
    const state = this.#state;
    if (state.phase === 'forwarded' && state.response !== undefined) {
      state.response = state.response.handle(event, nowMs, out);
      if (state.firstTokenKey !== undefined && state.response.firstTokenMs !== undefined) {
        timeFirstToken(state, state.response.firstTokenMs, true, out);
      }
    }
  }

  #firstTokenLate(nowMs: number, out: Action[]): void {
    const forwarded = this.#forwarded;
    timeFirstToken(forwarded, nowMs, false, out);
    const replaced = forwarded?.response ? undefined : this.#admission.attempts?.late(forwarded?.context.failover);
    if (replaced !== undefined) {
      this.#rest(replaced, out);
      out.push({ type: 'start-timer', ms: LATE_ATTEMPT_MS });
      return;
    }
    const failed = lateAttempt(forwarded?.context.failover);
    this.#rest(failed, out);
    const late: Failure = { ...firstTokenLate, ...(failed?.retry && { shouldRetry: failed.retry === 'now' }) };
    // Before the response headers Envoy accepts an immediate response and ends the upstream
    // request.
    if (forwarded !== undefined && forwarded.response === undefined) {
      this.#reply(late, nowMs, out);
    } else {
      forwarded?.response?.fail(late, out);
    }
  }

  /** Ends the request. A response of one document that has begun may complete. */
  #revoked(nowMs: number, out: Action[]): Failure | undefined {
    return this.#endedBy(credentialRevoked, (response) => response.fail(credentialRevoked, out), nowMs, out);
  }

  /** As `#revoked`, but a stream ends as at the end of its budget. */
  #stopped(by: string, nowMs: number, out: Action[]): Failure | undefined {
    let ends = true;
    const end = (response: ResponseHandler) => {
      ends = response.stop(stoppedByOperator, nowMs, out);
    };
    this.#stoppedBy ??= by;
    const problem = this.#endedBy(stoppedByOperator, end, nowMs, out);
    if (!ends && !this.over) {
      this.#stoppedBy = undefined;
    }
    return problem;
  }

  #endedBy(
    problem: Failure,
    end: (response: ResponseHandler) => void,
    nowMs: number,
    out: Action[],
  ): Failure | undefined {
    const forwarded = this.#forwarded;
    if (forwarded === undefined) {
      return problem;
    }
    const { response, prepared } = forwarded;
    if (response === undefined) {
      this.#reply(problem, nowMs, out);
      return undefined;
    }
    end(response);
    if (!response.ended && prepared === undefined) {
      out.push({ type: 'abort' });
      this.#finish({ failure: problem }, nowMs, out);
    }
    return undefined;
  }

  /**
   * Replies with a failure, unless the request is forwarded already; only passthrough bodies can
   * fail then.
   */
  #refuse(problem: Failure, nowMs: number, out: Action[]): void {
    const { phase } = this.#state;
    if (phase !== 'over' && (phase !== 'forwarded' || this.#request.passthroughBody !== undefined)) {
      this.#admission.cancel(out);
      this.#reply(problem, nowMs, out);
    }
  }

  #reply(problem: Failure, nowMs: number, out: Action[]): void {
    const shown = this.#context.plainErrors ? withPlainMessage(problem) : problem;
    const { dialect, id } = this.#request;
    out.push({ type: 'immediate-response', response: refusal(dialect, shown, this.#admission.snapshots, nowMs, id) });
    this.#finish({ failure: problem, replyStatus: problem.status }, nowMs, out);
  }

  #closed(interruption: Interruption | undefined, nowMs: number, out: Action[]): void {
    const response = this.#forwarded?.response;
    // While inflating, the end of decompression will finish the session.
    if (this.#state.phase === 'over' || response?.inflating) {
      return;
    }
    this.#admission.cancel(out);
    if (response?.blocked) {
      out.push(cancelExtension);
    }
    if (response !== undefined && this.#admission.guard !== undefined) {
      out.push(stopInspection);
    }
    if (response?.firstTokenMs === undefined) {
      this.#rest(brokenAttempt(this.#forwarded?.context.failover, interruption), out);
    }
    response?.abandon();
    if (interruptedBy(interruption) !== 'backend') {
      timeFirstToken(this.#forwarded, nowMs, false, out);
    }
    this.#finish({ abandoned: true, interruption }, nowMs, out);
  }

  #releaseBody(out: Action[]): void {
    this.#request.release(out);
    this.#admission.body = undefined;
    if (this.#admission.prepared !== undefined) {
      this.#admission.prepared.body = undefined;
    }
  }

  #finish(ending: Ending, nowMs: number, out: Action[]): void {
    const forwarded = this.#forwarded;
    this.#state = { phase: 'over' };
    this.#releaseBody(out);
    out.push({ type: 'stop-timer' });
    const input = this.#settlementInput(ending, forwarded, nowMs);
    const cost = requestCost(input);
    const record = requestRecord(input, cost);
    const { content } = this.#admission;
    const isComplete = input.evidence?.finished === true && record.failure === undefined && !record.clientLeft;
    out.push({
      type: 'finish',
      settle: forwarded?.held && settlement(forwarded.held.hold, this.#admission, cost),
      record:
        content === undefined || forwarded === undefined
          ? record
          : { ...record, content: content.finish(isComplete && record.decision.type !== 'cut') },
    });
    forwarded?.response?.release();
    // Envoy ends the stream itself after an immediate response.
    if (ending.replyStatus === undefined) {
      out.push({ type: 'end' });
    }
  }

  #settlementInput(ending: Ending, forwarded: Forwarded | undefined, nowMs: number): SettlementInput {
    return {
      admission: this.#admission,
      forwarded,
      evidence: forwarded?.response?.evidence(nowMs),
      ending,
      stoppedBy: this.#stoppedBy,
      startMs: this.#startMs,
      nowMs,
      compares: () => this.#context.compares(nowMs),
      estimates: this.#context.estimates,
    };
  }
}
