/** The guardrails behind the writer of a stream: whole events of the client API go in. */
import { type Failure, failure } from '../../errors.ts';
import { isExternal } from '../../guard/compile.ts';
import type { Analysis, DetectorError } from '../../guard/external/external-detector.ts';
import type { RequestGuard } from '../../guard/guard.ts';
import { Analyses, type ResponseQuestion, type ServiceFailure } from '../../guard/stream/analyses.ts';
import { AnalyzedText } from '../../guard/stream/analyzed-text.ts';
import { ChannelText } from '../../guard/stream/channel-text.ts';
import { GuardedStream, type HoldBackLimits, type SendEvent } from '../../guard/stream/guarded-stream.ts';
import { type EventSplitter, newEventSplitter } from '../../sse/events.ts';
import type { ActionOf } from '../protocol.ts';

/** Whether an event is whole, or which part of a long one. */
export type EventPart = EventSplitter['part'];

/** The guardrails of one response. */
export interface ResponseGuard {
  readonly guard: RequestGuard;
  readonly limits: HoldBackLimits;
  /**
   * Notes that a response, or a part of one, could not be examined. Returns why it must not pass,
   * if a rule says so.
   */
  readonly unexamined: (reason: UnexaminedReason) => Failure | undefined;
  /** Does the same for services that did not answer. */
  readonly unanswered: (failures: readonly ServiceFailure[]) => Failure | undefined;
  readonly ask: (question: ResponseQuestion) => ActionOf<'analyze'>;
}

export type UnexaminedReason = 'unreadable_response' | 'response_too_long' | 'hold_back';

const eventTooLong = failure(
  'unreadable_answer',
  'An event of the response exceeds 16 MB and cannot be examined. Ask for shorter output.',
);

/** Longer events have images or speech, which are not examined; their text could not be found. */
const MAX_EVENT_BYTES = 16 * 1024 * 1024;

/** Returns the questions of a response; undefined where no service looks at it. */
export function newAnalyses(guard: RequestGuard): Analyses | undefined {
  return guard.rules.some((rule) => isExternal(rule) && rule.phases.has('response')) ? new Analyses() : undefined;
}

export class StreamGuard {
  readonly #response: ResponseGuard;
  /** Looks for values with the detectors of the gateway itself. */
  readonly #stream: GuardedStream;
  /** Behind it: services, and what restores values that services must not get. */
  readonly #services: GuardedStream | undefined;
  readonly #restoring: GuardedStream | undefined;
  readonly #analyses: Analyses | undefined;
  #nowMs = 0;
  /** The parts of a long event. */
  #parts: Uint8Array[] = [];
  #partBytes = 0;
  #splitter: EventSplitter | undefined;
  #problem: Failure | undefined;
  #noted = false;
  #hasEnded = false;

  constructor(response: ResponseGuard, send: SendEvent) {
    const { guard, limits } = response;
    this.#response = response;
    const analyses = newAnalyses(guard);
    this.#analyses = analyses;
    const newStage = (stage: { readonly rules: boolean; readonly placeholders: boolean }, next: SendEvent) =>
      new GuardedStream(guard, (kind) => new ChannelText(kind, guard, stage), limits, next);
    if (analyses === undefined) {
      this.#stream = newStage({ rules: true, placeholders: true }, send);
      return;
    }
    const into = (stage: GuardedStream): SendEvent => {
      return (bytes, start, end) => stage.event(bytes, start, end, this.#nowMs);
    };
    const restoring = guard.placeholders && newStage({ rules: false, placeholders: true }, send);
    const next = restoring === undefined ? send : into(restoring);
    const services = new GuardedStream(guard, (kind) => new AnalyzedText(kind, guard, analyses), limits, next);
    this.#restoring = restoring;
    this.#services = services;
    this.#stream = newStage({ rules: true, placeholders: false }, into(services));
  }

  /** Services have not answered, so that text still waits. */
  get isWaiting(): boolean {
    return this.#analyses?.isWaiting === true && this.#response.guard.block === undefined;
  }

  /** So much waits for services that no more may arrive. */
  get isFull(): boolean {
    return this.isWaiting && this.#services!.heldBytes > this.#response.limits.bytes;
  }

  /** Takes an event that passes the writer, or a part of one. */
  event(bytes: Uint8Array, start: number, end: number, part: EventPart): void {
    if (this.#problem !== undefined) {
      return;
    }
    if (part === 'none' && this.#parts.length === 0) {
      this.#stream.event(bytes, start, end, this.#nowMs);
      return;
    }
    this.#partBytes += end - start;
    if (this.#partBytes > MAX_EVENT_BYTES) {
      this.#note('response_too_long');
      this.#problem ??= eventTooLong;
      this.#parts = [];
      return;
    }
    this.#parts.push(Buffer.from(bytes.subarray(start, end)));
    if (part !== 'begun') {
      const event = Buffer.concat(this.#parts);
      this.#parts = [];
      this.#partBytes = 0;
      this.#stream.event(event, 0, event.length, this.#nowMs);
    }
  }

  /** Takes what the writer wrote: whole events, or the last part of a long one. */
  written(bytes: Uint8Array, part: EventPart): void {
    if (part === 'last' || this.#parts.length > 0) {
      this.event(bytes, 0, bytes.length, 'last');
      return;
    }
    this.#each(bytes, (event, start, end) => this.event(event, start, end, 'none'));
  }

  /** Takes the last events and releases all that does not wait for services: nothing follows. */
  finish(bytes: Uint8Array): void {
    this.#parts = [];
    if (this.#problem !== undefined) {
      return;
    }
    if (bytes.length > 0) {
      this.written(bytes, 'none');
    }
    this.#hasEnded = true;
    this.#stream.end();
    this.#services?.end();
    this.#endRestoring();
  }

  /** Sends the events that end a blocked stream. */
  ending(bytes: Uint8Array): void {
    this.#resume();
    this.#each(bytes, (event, start, end) => this.#stream.ending(event, start, end));
    this.#endRestoring();
  }

  /** Takes the answer of a service. */
  answer(id: number, result: Analysis | DetectorError, nowMs: number): void {
    this.#nowMs = nowMs;
    this.#analyses?.answer(id, result);
    if (this.#unanswered() === undefined) {
      this.#resume();
    }
  }

  /** Returns the questions that are to be asked now, once each. */
  questions(): readonly ActionOf<'analyze'>[] {
    const questions = this.#analyses?.questions.splice(0) ?? [];
    return questions.map((question) => this.#response.ask(question));
  }

  /** Returns why the stream must end: a rule blocks, or what is not examined must not pass. */
  problem(nowMs: number): Failure | undefined {
    this.#nowMs = nowMs;
    const { block, unreadable, exceeded } = this.#stream;
    if (exceeded) {
      this.#note('hold_back');
    }
    if (unreadable) {
      this.#note('unreadable_response');
    }
    this.#unanswered();
    return block === undefined ? this.#problem : failure('content_blocked', block.message);
  }

  #unanswered(): Failure | undefined {
    const failures = this.#analyses?.failures.splice(0) ?? [];
    if (failures.length > 0) {
      this.#problem ??= this.#response.unanswered(failures);
    }
    return this.#problem;
  }

  #resume(): void {
    this.#services?.resume();
    this.#endRestoring();
  }

  #endRestoring(): void {
    if (this.#hasEnded && !this.isWaiting && this.#problem === undefined) {
      this.#restoring?.end();
    } else if (this.#response.guard.block !== undefined) {
      this.#restoring?.resume();
    }
  }

  #note(reason: UnexaminedReason): void {
    if (!this.#noted) {
      this.#noted = true;
      this.#problem ??= this.#response.unexamined(reason);
    }
  }

  #each(bytes: Uint8Array, take: SendEvent): void {
    this.#splitter ??= newEventSplitter(Number.POSITIVE_INFINITY);
    const splitter = this.#splitter;
    splitter.push(bytes);
    while (splitter.next()) {
      take(splitter.bytes, splitter.start, splitter.end);
    }
  }
}
