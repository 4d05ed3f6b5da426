/**
 * One HTTP request from its headers to its charge, as a pure state machine: events in, actions out.
 * `Request` reads what the client asks for; a `ResponseHandler` reads what comes back. The session
 * holds quotas, forwards the request, and settles. It keeps the policy that was in force when it
 * began.
 */
import { type Failure, isFailure, withPlainMessage } from '../errors.ts';
import type { Interruption } from '../interruption.ts';
import type { BucketSnapshot, Decision } from '../quota/store.ts';
import type { QuotaDecision, RequestRecord } from '../record.ts';
import { firstTokenTimeoutMs, forward, quotaDemand, uncountedResponse } from './forward.ts';
import { PassthroughRequest } from './passthrough-request.ts';
import type { Action, EventOf, SessionEvent } from './protocol.ts';
import {
  firstTokenLate,
  internalFault,
  jsonResponse,
  promptTooLong,
  quotaFailure,
  refusal,
  tooManyBodies,
  uploadTooSlow,
} from './replies.ts';
import { type PreparedRequest, Request } from './request.ts';
import type { ResponseBodyEvent } from './response/handler.ts';
import { isBackendWell, openResponse } from './response/open.ts';
import { costOfHold, type Ending, requestCost, requestRecord, type SettlementInput, settlement } from './settlement.ts';
import type { Forwarded, Held, SessionContext, SessionState } from './state.ts';

export class Session {
  readonly #context: SessionContext;
  readonly #request: Request;
  #state: SessionState = { phase: 'collecting' };
  #startMs = 0;
  #passthrough: PassthroughRequest | undefined;
  #keptBytes = 0;
  #decision: QuotaDecision = { type: 'none' };
  #snapshots: readonly BucketSnapshot[] = [];

  constructor(context: SessionContext) {
    this.#context = context;
    this.#request = new Request({ ...context, holdTokens: (...key) => context.estimates.holdTokens(...key) });
  }

  get requestId(): string | undefined {
    return this.#request.id;
  }

  get phase(): SessionState['phase'] {
    return this.#state.phase;
  }

  /**
   * Handles one event. Returns whether the driver must stop reading until the session is unblocked.
   */
  handle(event: SessionEvent, nowMs: number, out: Action[]): boolean {
    // The first event is a response where Envoy answers before the request headers reach us.
    this.#startMs ||= nowMs;
    const problem = this.#step(event, nowMs, out);
    if (problem !== undefined) {
      this.#refuse(problem, nowMs, out);
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

  get #forwarded(): Forwarded | undefined {
    return this.#state.phase === 'forwarded' ? this.#state : undefined;
  }

  get #blocked(): boolean {
    const state = this.#state;
    return state.phase === 'forwarded'
      ? (state.response?.blocked ?? false)
      : state.phase === 'reserving' && this.#passthrough !== undefined;
  }

  #step(event: SessionEvent, nowMs: number, out: Action[]): Failure | undefined {
    switch (event.type) {
      case 'request-headers':
        return this.#requestHeaders(event, nowMs, out);
      case 'request-body':
      case 'request-trailers':
        return this.#passthrough === undefined
          ? this.#requestPart(event, nowMs, out)
          : this.#passthroughPart(this.#passthrough, event, out);
      case 'overloaded':
        return tooManyBodies;
      case 'upload-late':
        return uploadTooSlow;
      case 'counted':
        return this.#counted(event.tokens, nowMs, out);
      case 'reserved':
        return this.#reserved(event.decision, nowMs, out);
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
      case 'closed':
        this.#closed(event.broken, nowMs, out);
        return undefined;
      default:
        throw new Error(`unknown event ${(event satisfies never as SessionEvent).type}`);
    }
  }

  #requestHeaders(event: EventOf<'request-headers'>, nowMs: number, out: Action[]): Failure | undefined {
    const step = this.#request.headers(event.headers, event.routeName);
    if (isFailure(step)) {
      return step;
    }
    if (step.type === 'reply') {
      out.push({ type: 'immediate-response', response: jsonResponse(step.body, this.#request.id) });
      this.#finish({ replyStatus: 200 }, nowMs, out);
      return undefined;
    }
    if (step.type === 'passthrough') {
      this.#passthrough = new PassthroughRequest(this.#request, step.target);
      this.#reserve(undefined, nowMs, out);
      return undefined;
    }
    return event.endOfStream ? this.#prepare(nowMs, out) : undefined;
  }

  #requestPart(event: EventOf<'request-body' | 'request-trailers'>, nowMs: number, out: Action[]): Failure | undefined {
    if (this.#state.phase !== 'collecting') {
      return undefined;
    }
    if (event.type === 'request-trailers') {
      this.#request.endedByTrailers = true;
      return this.#prepare(nowMs, out);
    }
    const { bytes, endOfStream } = event;
    if (bytes.length > 0) {
      const before = this.#keptBytes;
      const problem = this.#request.push(bytes);
      this.#keptBytes = this.#request.keptBytes;
      out.push({ type: 'keep', bytes: this.#keptBytes - before });
      if (problem !== undefined) {
        return problem;
      }
    }
    return endOfStream ? this.#prepare(nowMs, out) : undefined;
  }

  #passthroughPart(
    passthrough: PassthroughRequest,
    event: EventOf<'request-body' | 'request-trailers'>,
    out: Action[],
  ): Failure | undefined {
    if (this.#state.phase === 'over') {
      return undefined;
    }
    const problem = passthrough.handle(event, out);
    // A response that has begun keeps its status.
    if (problem === undefined || this.#forwarded?.head !== undefined) {
      return undefined;
    }
    this.#stopWaiting(out);
    return problem;
  }

  /** The body is complete: routes the request and checks its limits. */
  #prepare(nowMs: number, out: Action[]): Failure | undefined {
    const prepared = this.#request.end();
    if (isFailure(prepared)) {
      return prepared;
    }
    const limit = prepared.choice.rule.rule.requestLimits.inputTokens;
    if (limit === undefined || prepared.plan.inputTokens <= limit) {
      this.#reserve(prepared, nowMs, out);
    } else if (prepared.input.likelyLeast > limit) {
      return promptTooLong(limit);
    } else {
      this.#count(prepared, limit, out);
    }
    return undefined;
  }

  #count(prepared: PreparedRequest, limitTokens: number, out: Action[]): void {
    this.#state = { phase: 'counting', prepared };
    prepared.input.countTo(limitTokens);
    const { tokenizer, backendModel: model } = prepared.choice;
    out.push({ type: 'count', body: prepared.body!, tokenizer, model, limitTokens });
  }

  #counted(tokens: number, nowMs: number, out: Action[]): Failure | undefined {
    if (this.#state.phase !== 'counting') {
      return undefined;
    }
    const { prepared } = this.#state;
    prepared.input.counted(tokens);
    const limit = prepared.choice.rule.rule.requestLimits.inputTokens;
    if (limit !== undefined && prepared.input.likelyLeast > limit) {
      return promptTooLong(limit);
    }
    this.#reserve(prepared, nowMs, out);
    return undefined;
  }

  #reserve(prepared: PreparedRequest | undefined, nowMs: number, out: Action[]): void {
    if (this.#request.buckets.length === 0) {
      this.#forward(prepared, undefined, nowMs, out);
      return;
    }
    this.#state = { phase: 'reserving', prepared, sinceMs: nowMs };
    out.push({ type: 'reserve', demand: quotaDemand(this.#request, prepared, this.#context.newId(), nowMs) });
  }

  #reserved(decision: Decision, nowMs: number, out: Action[]): Failure | undefined {
    if (this.#state.phase !== 'reserving') {
      return undefined;
    }
    const { prepared, sinceMs } = this.#state;
    if (decision.type === 'count-first') {
      this.#count(prepared!, decision.limitTokens, out);
      return undefined;
    }
    this.#snapshots = decision.snapshots;
    if (decision.type === 'refused') {
      this.#decision = { type: 'refused', reason: decision.reason, quota: decision.bucket.quota.id };
      return quotaFailure(decision);
    }
    const { hold, outputTokens, shadowRefused = [] } = decision;
    this.#decision = { type: 'admitted', queuedMs: Math.floor(nowMs - sinceMs), shadowRefused };
    this.#forward(prepared, { hold, outputTokens, inputTokens: prepared?.input.most ?? 0 }, nowMs, out);
    return undefined;
  }

  #forward(prepared: PreparedRequest | undefined, held: Held | undefined, nowMs: number, out: Action[]): void {
    const context = { newMeter: this.#context.newMeter, snapshots: this.#snapshots };
    if (prepared === undefined) {
      this.#passthrough!.forward(out);
      this.#state = uncountedResponse(this.#request, context, { sinceMs: nowMs, held });
      return;
    }
    this.#state = forward(this.#request, prepared, held, context, nowMs, out);
    this.#releaseBody(out);
    const timeoutMs = firstTokenTimeoutMs(this.#request, prepared);
    if (timeoutMs !== undefined) {
      out.push({ type: 'start-timer', ms: timeoutMs });
    }
  }

  #responseHeaders(event: EventOf<'response-headers'>, nowMs: number, out: Action[]): void {
    if (this.#state.phase === 'over') {
      return;
    }
    if (this.#state.phase !== 'forwarded') {
      this.#answeredByEnvoy(event, out);
    }
    const forwarded = this.#forwarded!;
    const { head, handler, refused } = openResponse(forwarded.context, event, nowMs, out);
    forwarded.head = head;
    forwarded.response = handler;
    if (forwarded.prepared !== undefined) {
      out.push({ type: 'health', target: forwarded.prepared.choice.target.id, well: isBackendWell(head) });
    }
    if (refused !== undefined) {
      this.#reply(refused, nowMs, out);
    }
  }

  /** Envoy replied before we forwarded the request. */
  #answeredByEnvoy(event: EventOf<'response-headers'>, out: Action[]): void {
    this.#stopWaiting(out);
    this.#releaseBody(out);
    this.#passthrough?.discard();
    if (event.path !== undefined) {
      this.#request.answeredAt(event.path);
    }
    this.#state = uncountedResponse(this.#request, { snapshots: this.#snapshots }, {});
  }

  #respond(event: ResponseBodyEvent, nowMs: number, out: Action[]): void {
    const state = this.#state;
    if (state.phase === 'forwarded' && state.response !== undefined) {
      state.response = state.response.handle(event, nowMs, out);
    }
  }

  #firstTokenLate(nowMs: number, out: Action[]): void {
    const forwarded = this.#forwarded;
    // Before the response headers Envoy accepts an immediate response and ends the upstream
    // request.
    if (forwarded !== undefined && forwarded.response === undefined) {
      this.#reply(firstTokenLate, nowMs, out);
    } else {
      forwarded?.response?.fail(firstTokenLate, out);
    }
  }

  /**
   * Replies with a failure, unless the request is forwarded already; only passthrough bodies can
   * fail then.
   */
  #refuse(problem: Failure, nowMs: number, out: Action[]): void {
    const { phase } = this.#state;
    if (phase !== 'over' && (phase !== 'forwarded' || this.#passthrough !== undefined)) {
      this.#reply(problem, nowMs, out);
    }
  }

  #reply(problem: Failure, nowMs: number, out: Action[]): void {
    const shown = this.#context.plainErrors ? withPlainMessage(problem) : problem;
    const { dialect, id } = this.#request;
    out.push({ type: 'immediate-response', response: refusal(dialect, shown, this.#snapshots, nowMs, id) });
    this.#finish({ failure: problem, replyStatus: problem.status }, nowMs, out);
  }

  #closed(interruption: Interruption | undefined, nowMs: number, out: Action[]): void {
    const response = this.#forwarded?.response;
    // While inflating, the end of decompression will finish the session.
    if (this.#state.phase === 'over' || response?.inflating) {
      return;
    }
    this.#stopWaiting(out);
    response?.abandon();
    this.#finish({ abandoned: true, interruption }, nowMs, out);
  }

  /** Cancels the pending count, reservation or extension. */
  #stopWaiting(out: Action[]): void {
    const { phase } = this.#state;
    if (phase === 'counting') {
      out.push({ type: 'stop-count' });
    } else if (phase === 'reserving' || this.#blocked) {
      out.push({ type: 'cancel' });
    }
  }

  #releaseBody(out: Action[]): void {
    if (this.#keptBytes > 0) {
      out.push({ type: 'keep', bytes: -this.#keptBytes });
    }
    this.#keptBytes = 0;
    this.#request.release();
  }

  #finish(ending: Ending, nowMs: number, out: Action[]): void {
    const forwarded = this.#forwarded;
    this.#state = { phase: 'over' };
    this.#releaseBody(out);
    out.push({ type: 'stop-timer' });
    const input = this.#settlementInput(ending, forwarded, nowMs);
    const cost = requestCost(input);
    out.push({
      type: 'finish',
      settle: forwarded?.held && settlement(forwarded.held.hold, this.#request.buckets, cost),
      outcome: requestRecord(input, cost),
    });
    forwarded?.response?.release();
    // Envoy ends the stream itself after an immediate response.
    if (ending.replyStatus === undefined) {
      out.push({ type: 'end' });
    }
  }

  #settlementInput(ending: Ending, forwarded: Forwarded | undefined, nowMs: number): SettlementInput {
    return {
      request: this.#request,
      forwarded,
      evidence: forwarded?.response?.evidence(nowMs),
      decision: this.#decision,
      ending,
      startMs: this.#startMs,
      nowMs,
      compares: () => this.#context.compares(nowMs),
      estimates: this.#context.estimates,
    };
  }
}
