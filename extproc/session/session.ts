/**
 * One HTTP request from its headers to its charge, as a pure state machine: events in, actions out. `Request` reads what is asked for, `Answer` what comes
 * back; here stands what lies between: hold quotas, let it go, settle. A session keeps the policy that it began with.
 */
import type { Tokenizer } from '../../contract/policy.ts';
import { type Failure, inPlainWords, isFailure } from '../errors.ts';
import type { Interruption } from '../interruption.ts';
import type { ScannedBody } from '../json/scanner.ts';
import type { BucketRef, BucketSnapshot, Decision, Hold } from '../quota/store.ts';
import { drawOn, drawsInput, drawsTokens } from '../quota/units.ts';
import type { QuotaDecision, RequestRecord } from '../record.ts';
import type { Meter } from '../tokens/meter.ts';
import { likelyInputTokens, type OutputEstimates } from './admission.ts';
import { Answer } from './answer.ts';
import { estimated } from './charge.ts';
import { InputCount } from './input-count.ts';
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
import { type PreparedRequest, Request, type RequestContext } from './request.ts';
import { newTextSample, sampleOf, type TextSample } from './sample.ts';
import { charged, outcome, type SettlementInput, settlement } from './settlement.ts';

export interface SessionContext extends Omit<RequestContext, 'holdTokens'> {
  readonly newId: () => string;
  readonly estimates: OutputEstimates;
  /** Whether an answer that ends now is one of the sample whose counts are compared. */
  readonly compares: (nowMs: number) => boolean;
  readonly newMeter: (tokenizer: Tokenizer, model: string) => Meter;
  /** Refusals name nothing of the configuration. */
  readonly plainErrors: boolean;
}

type Phase = 'collecting' | 'counting' | 'reserving' | 'forwarded' | 'over';

export class Session {
  readonly #context: SessionContext;
  readonly #request: Request;
  #phase: Phase = 'collecting';
  #startMs = 0;
  #endedByTrailers = false;
  #asked: PreparedRequest | undefined;
  #passthroughTarget: string | undefined;
  /** A passthrough's body that came before it was let go. */
  #early: Action[] = [];
  #keptBytes = 0;
  #buckets: readonly BucketRef[] = [];
  #input: InputCount | undefined;
  #inputSample: TextSample | undefined;
  #reservedAtMs = 0;
  #forwardedAtMs = 0;
  #hold: { readonly hold: Hold; readonly outputTokens: number; readonly inputTokens: number } | undefined;
  #snapshots: readonly BucketSnapshot[] = [];
  #decision: QuotaDecision = { type: 'none' };
  #answer: Answer | undefined;
  #failure: Failure | undefined;
  #replyStatus: number | undefined;
  #finished = false;
  #clientLeft = false;
  #broken: Interruption | undefined;

  constructor(context: SessionContext) {
    this.#context = context;
    this.#request = new Request({ ...context, holdTokens: (...key) => context.estimates.holdTokens(...key) });
  }

  get requestId(): string | undefined {
    return this.#request.id;
  }

  /** The driver stops reading while this holds. */
  get blocked(): boolean {
    return (this.#answer?.blocked ?? false) || (this.#passthroughTarget !== undefined && this.#phase === 'reserving');
  }

  /** The body is awaited, or more of it. */
  get collecting(): boolean {
    return this.#phase === 'collecting';
  }

  /** The whole answer has gone on, compressed, and what it cost is still being unpacked: Envoy's end of the stream is not the end. */
  get inflating(): boolean {
    return !this.#finished && (this.#answer?.unpacking ?? false);
  }

  /** What the record says after a fault of ours: what was held is charged in full. */
  faulted(nowMs: number): RequestRecord {
    this.#failure ??= internalFault;
    const held = this.#hold && {
      usage: estimated(this.#hold.inputTokens, this.#answer?.leasedTokens ?? this.#hold.outputTokens),
      source: 'estimated' as const,
      undeliveredTokens: 0,
      cause: 'in_flight' as const,
    };
    const record = outcome(this.#closing(nowMs), held);
    return { ...record, status: record.status ?? internalFault.status };
  }

  /** What `count` is about; only between `count` and `counted`. */
  get counting(): { readonly body: ScannedBody; readonly tokenizer: Tokenizer; readonly model: string } | undefined {
    const { body, choice } = this.#asked ?? {};
    if (body === undefined || choice === undefined) {
      return undefined;
    }
    return { body, tokenizer: choice.tokenizer, model: choice.backendModel };
  }

  handle(event: SessionEvent, nowMs: number, out: Action[]): void {
    // Envoy's own answer to an upgrade comes without the request's headers.
    this.#startMs ||= nowMs;
    const problem = this.#step(event, nowMs, out);
    if (problem !== undefined) {
      this.#refuse(problem, nowMs, out);
    }
    if (this.#answer?.ended) {
      this.#finish(nowMs, out);
    }
  }

  #step(event: SessionEvent, nowMs: number, out: Action[]): Failure | undefined {
    switch (event.type) {
      case 'request-headers':
        return this.#requestHeaders(event, nowMs, out);
      case 'request-body':
        return this.#requestBody(event.bytes, event.endOfStream, nowMs, out);
      case 'request-trailers':
        return this.#requestTrailers(nowMs, out);
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
        this.#answer?.handle(event, nowMs, out);
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
      this.#replyStatus = 200;
      this.#phase = 'over';
      out.push({ type: 'immediate-response', response: jsonResponse(step.body, this.#request.id) });
      this.#finish(nowMs, out);
      return undefined;
    }
    if (step.type === 'passthrough') {
      this.#passthroughTarget = step.target;
      this.#buckets = step.buckets;
      this.#reserve(nowMs, out);
      return undefined;
    }
    return event.endOfStream ? this.#requestRead(nowMs, out) : undefined;
  }

  #requestBody(bytes: Uint8Array, endOfStream: boolean, nowMs: number, out: Action[]): Failure | undefined {
    if (this.#passthroughTarget !== undefined) {
      return this.#passBody(bytes, endOfStream, out);
    }
    if (this.#phase !== 'collecting') {
      return undefined;
    }
    if (bytes.length > 0) {
      const before = this.#keptBytes;
      const problem = this.#request.push(bytes);
      this.#keptBytes = this.#request.keptBytes;
      out.push({ type: 'keep', bytes: this.#keptBytes - before });
      if (problem !== undefined) {
        return problem;
      }
    }
    return endOfStream ? this.#requestRead(nowMs, out) : undefined;
  }

  #passBody(bytes: Uint8Array, endOfStream: boolean, out: Action[]): Failure | undefined {
    const problem = this.#request.pass(bytes);
    if (problem === undefined) {
      (this.#phase === 'reserving' ? this.#early : out).push({ type: 'request-body', bytes, endOfStream });
    }
    // Once the answer has begun, its status stands.
    if (problem === undefined || this.#answer?.status !== undefined) {
      return undefined;
    }
    this.#stopWaiting(out);
    return problem;
  }

  #requestTrailers(nowMs: number, out: Action[]): Failure | undefined {
    if (this.#passthroughTarget !== undefined) {
      (this.#phase === 'reserving' ? this.#early : out).push({ type: 'request-trailers' });
      return undefined;
    }
    if (this.#phase !== 'collecting') {
      return undefined;
    }
    this.#endedByTrailers = true;
    return this.#requestRead(nowMs, out);
  }

  #requestRead(nowMs: number, out: Action[]): Failure | undefined {
    const asked = this.#request.end();
    if (isFailure(asked)) {
      return asked;
    }
    this.#asked = asked;
    this.#buckets = asked.plan.buckets;
    this.#input = new InputCount(asked.choice, asked.plan);
    const limit = asked.choice.rule.rule.requestLimits.inputTokens;
    if (limit === undefined || asked.plan.inputTokens <= limit) {
      this.#reserve(nowMs, out);
    } else if (this.#isTooLong(limit)) {
      return promptTooLong(limit);
    } else {
      this.#count(limit, out);
    }
    return undefined;
  }

  #isTooLong(limit: number): boolean {
    return likelyInputTokens(this.#asked!.choice.facts, this.#input!.least) > limit;
  }

  #count(limitTokens: number, out: Action[]): void {
    this.#phase = 'counting';
    this.#input!.countTo(limitTokens);
    out.push({ type: 'count', limitTokens });
  }

  #counted(tokens: number, nowMs: number, out: Action[]): Failure | undefined {
    if (this.#phase !== 'counting') {
      return undefined;
    }
    this.#input!.counted(tokens);
    const limit = this.#asked!.choice.rule.rule.requestLimits.inputTokens;
    if (limit !== undefined && this.#isTooLong(limit)) {
      return promptTooLong(limit);
    }
    this.#reserve(nowMs, out);
    return undefined;
  }

  #reserve(nowMs: number, out: Action[]): void {
    if (this.#buckets.length === 0) {
      this.#forward(nowMs, out);
      return;
    }
    this.#phase = 'reserving';
    this.#reservedAtMs = nowMs;
    out.push({
      type: 'reserve',
      demand: {
        id: this.#context.newId(),
        atMs: nowMs,
        draws: this.#buckets.map(drawOn),
        inputTokens: this.#input?.most ?? 0,
        inputCounted: this.#input?.text !== undefined || !this.#buckets.some(({ quota }) => drawsInput(quota)),
        ...this.#input?.leastOfDemand,
        output: this.#asked?.plan.output ?? { mode: 'none', want: 0, least: 0 },
      },
    });
  }

  #reserved(decision: Decision, nowMs: number, out: Action[]): Failure | undefined {
    if (this.#phase !== 'reserving') {
      return undefined;
    }
    if (decision.type === 'count-first') {
      this.#count(decision.limitTokens, out);
      return undefined;
    }
    this.#snapshots = decision.snapshots;
    if (decision.type === 'refused') {
      this.#decision = { type: 'refused', reason: decision.reason, quota: decision.bucket.quota.id };
      return quotaFailure(decision);
    }
    const { hold, outputTokens, shadowRefused = [] } = decision;
    this.#hold = { hold, outputTokens, inputTokens: this.#input?.most ?? 0 };
    this.#decision = { type: 'admitted', queuedMs: Math.floor(nowMs - this.#reservedAtMs), shadowRefused };
    this.#forward(nowMs, out);
    return undefined;
  }

  #forward(nowMs: number, out: Action[]): void {
    this.#phase = 'forwarded';
    this.#forwardedAtMs = nowMs;
    const asked = this.#asked;
    if (asked === undefined) {
      out.push({ type: 'request-headers', mutation: this.#request.mutation(this.#passthroughTarget!) }, ...this.#early);
      this.#early = [];
      this.#answer = this.#newAnswer();
      return;
    }
    const { facts, target, rule, tokenizer, backendModel } = asked.choice;
    const metered = this.#request.found!.endpoint.kind === 'metered';
    const askUsage = metered && facts.stream && !facts.usageAsked;
    const pieces = this.#request.outgoing(asked, this.#hold?.outputTokens, askUsage);
    const bodyBytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const mutation = this.#request.mutation(target.id, { streamed: metered && facts.stream, bodyBytes });
    out.push({ type: 'request-headers', mutation });
    for (const [index, bytes] of pieces.entries()) {
      out.push({ type: 'request-body', bytes, endOfStream: index === pieces.length - 1 && !this.#endedByTrailers });
    }
    if (this.#endedByTrailers) {
      out.push({ type: 'request-trailers' });
    }
    if (metered) {
      this.#inputSample = sampleOf(asked.body!, tokenizer, backendModel);
    }
    this.#releaseBody(out);
    const timeoutMs = rule.rule.firstTokenTimeoutMs;
    if (metered && facts.stream && timeoutMs !== undefined) {
      out.push({ type: 'start-timer', ms: timeoutMs });
    }
    this.#answer = this.#newAnswer(metered ? asked : undefined, askUsage);
  }

  /** An answer that is counted, or one that only passes. */
  #newAnswer(asked?: PreparedRequest, hideUsage = false): Answer {
    const endpoint = this.#request.found?.endpoint;
    const { dialect, id: requestId } = this.#request;
    const snapshots = this.#snapshots;
    if (asked === undefined) {
      return new Answer({ dialect, requestId, snapshots, metered: undefined });
    }
    const { choice, plan } = asked;
    const hold = this.#hold;
    const answer = new Answer({
      dialect,
      requestId,
      snapshots,
      metered: {
        readers: endpoint!.answer!(choice.facts, { hideUsage, model: choice.facts.model }),
        meter: () => this.#context.newMeter(choice.tokenizer, choice.backendModel),
        sample: () => newTextSample(choice.tokenizer, choice.backendModel),
        lease: plan.output.mode === 'none' ? undefined : hold && { hold: hold.hold, tokens: hold.outputTokens },
        inputTokens: () => this.#countInput(),
        countedInput: () => this.#recountInput(),
        hasOutput: choice.facts.hasOutput,
        streamed: choice.facts.stream,
        mayPassUnread: (encoding) => this.#mayPassUnread(encoding),
      },
    });
    if (hold !== undefined && plan.output.mode === 'lease') {
      hold.hold.holder = answer;
    }
    return answer;
  }

  #responseHeaders(event: EventOf<'response-headers'>, nowMs: number, out: Action[]): void {
    if (this.#phase === 'over') {
      return;
    }
    // Envoy's own answer, before we let the request go.
    if (this.#phase !== 'forwarded') {
      this.#stopWaiting(out);
      this.#releaseBody(out);
      this.#phase = 'forwarded';
      if (event.path !== undefined) {
        this.#request.answeredAt(event.path);
      }
      this.#answer = this.#newAnswer();
    }
    const problem = this.#answer!.headers(event, nowMs, out);
    const { status, failed } = this.#answer!;
    const target = this.#asked?.choice.target.id;
    if (target !== undefined && status !== undefined && this.#forwardedAtMs > 0) {
      // A rate limit of Envoy's own says nothing of the backend.
      out.push({ type: 'health', target, well: status < 500 && (status !== 429 || failed !== undefined) });
    }
    if (problem !== undefined) {
      this.#reply(problem, nowMs, out);
    }
  }

  /** What cannot be counted passes where no token quota stands, or where the client asked for just that. */
  #mayPassUnread(encoding: string): boolean {
    const asked = !this.#asked!.choice.facts.stream && this.#request.accepts(encoding);
    return asked || !this.#buckets.some(({ quota }) => drawsTokens(quota) && quota.mode === 'Enforce');
  }

  #firstTokenLate(nowMs: number, out: Action[]): void {
    // Before the answer's headers Envoy still takes a whole answer of ours, and ends the upstream request.
    if (this.#answer?.mode === 'unknown') {
      this.#reply(firstTokenLate, nowMs, out);
    } else {
      this.#answer?.fail(firstTokenLate, out);
    }
  }

  #refuse(problem: Failure, nowMs: number, out: Action[]): void {
    const passing = this.#phase === 'forwarded' && this.#passthroughTarget === undefined;
    if (this.#phase === 'over' || passing) {
      return;
    }
    this.#reply(problem, nowMs, out);
  }

  #reply(problem: Failure, nowMs: number, out: Action[]): void {
    this.#phase = 'over';
    this.#failure = problem;
    this.#replyStatus = problem.status;
    const said = this.#context.plainErrors ? inPlainWords(problem) : problem;
    out.push({
      type: 'immediate-response',
      response: refusal(this.#request.dialect, said, this.#snapshots, nowMs, this.#request.id),
    });
    this.#finish(nowMs, out);
  }

  #closed(broken: Interruption | undefined, nowMs: number, out: Action[]): void {
    if (this.#finished || this.inflating) {
      return;
    }
    this.#stopWaiting(out);
    this.#clientLeft = true;
    this.#broken = broken;
    this.#answer?.breakOff();
    this.#phase = 'over';
    this.#finish(nowMs, out);
  }

  /** Nobody is to answer any more: neither the ledger nor the count, whose text goes. */
  #stopWaiting(out: Action[]): void {
    if (this.#phase === 'counting') {
      out.push({ type: 'stop-count' });
    } else if (this.#phase === 'reserving' || this.blocked) {
      out.push({ type: 'cancel' });
    }
  }

  #releaseBody(out: Action[]): void {
    if (this.#keptBytes > 0) {
      out.push({ type: 'keep', bytes: -this.#keptBytes });
    }
    this.#keptBytes = 0;
    if (this.#asked !== undefined) {
      this.#asked.body = undefined;
    }
    this.#request.release();
  }

  #countInput(): number {
    return likelyInputTokens(this.#asked!.choice.facts, this.#input?.text ?? this.#inputSample?.tokens() ?? 0);
  }

  /** The input, counted although its bytes were thought to do: it is what is held from now on. */
  #recountInput(): number | undefined {
    const text = this.#input!.text === undefined ? this.#inputSample?.exactTokens() : undefined;
    if (text === undefined) {
      return undefined;
    }
    this.#input!.text = text;
    this.#hold = { ...this.#hold!, inputTokens: this.#input!.most };
    return this.#hold.inputTokens;
  }

  #finish(nowMs: number, out: Action[]): void {
    if (this.#finished) {
      return;
    }
    this.#finished = true;
    this.#releaseBody(out);
    out.push({ type: 'stop-timer' });
    const closing = this.#closing(nowMs);
    const cost = charged(closing);
    out.push({
      type: 'finish',
      settle: this.#hold && settlement(this.#hold.hold, this.#buckets, cost),
      outcome: outcome(closing, cost),
    });
    this.#answer?.release();
    // After an immediate response Envoy ends the stream by itself.
    if (this.#replyStatus === undefined) {
      out.push({ type: 'end' });
    }
  }

  #closing(nowMs: number): SettlementInput {
    return {
      request: this.#request,
      asked: this.#asked,
      answer: this.#answer,
      held: this.#hold,
      buckets: this.#buckets,
      decision: this.#decision,
      failure: this.#failure,
      replyStatus: this.#replyStatus,
      clientLeft: this.#clientLeft,
      broken: this.#broken,
      startMs: this.#startMs,
      forwardedAtMs: this.#forwardedAtMs,
      nowMs,
      countInput: () => this.#countInput(),
      compares: () => this.#context.compares(nowMs),
      estimates: this.#context.estimates,
    };
  }
}
