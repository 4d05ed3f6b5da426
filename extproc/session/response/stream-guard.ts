/** The guardrails behind the writer of a stream: whole events of the client API go in. */
import { type Failure, failure } from '../../errors.ts';
import type { RequestGuard } from '../../guard/guard.ts';
import { GuardedStream, type HoldBackLimits, type SendEvent } from '../../guard/stream/guarded-stream.ts';
import { type EventSplitter, newEventSplitter } from '../../sse/events.ts';

/** Whether an event is whole, or which part of a long one. */
export type EventPart = EventSplitter['part'];

const eventTooLong = failure(
  'unreadable_answer',
  'An event of the response exceeds 16 MB and cannot be examined. Ask for shorter output.',
);

/** The guardrails of one response. */
export interface ResponseGuard {
  readonly guard: RequestGuard;
  readonly limits: HoldBackLimits;
  /**
   * Notes that a response, or a part of one, could not be examined. Returns why it must not pass,
   * if a rule says so.
   */
  readonly unexamined: (reason: UnexaminedReason) => Failure | undefined;
}

export type UnexaminedReason = 'unreadable_response' | 'response_too_long';

/** Returns a whole stream as guardrails let it pass; `ends`: it has an end, though blocked. */
export function guardedStream(
  response: ResponseGuard,
  stream: Uint8Array,
): { readonly bytes: Uint8Array; readonly problem: Failure | undefined; readonly ends: boolean } {
  const pieces: Uint8Array[] = [];
  const guard = new StreamGuard(response, (bytes, start, end) => pieces.push(bytes.subarray(start, end)));
  guard.finish(stream);
  const problem = guard.problem(0);
  return { bytes: Buffer.concat(pieces), problem, ends: response.guard.block !== undefined };
}

/** Longer events have images or speech, which are not examined; their text could not be found. */
const MAX_EVENT_BYTES = 16 * 1024 * 1024;

export class StreamGuard {
  readonly #response: ResponseGuard;
  readonly #stream: GuardedStream;
  #nowMs = 0;
  /** The parts of a long event. */
  #parts: Uint8Array[] = [];
  #partBytes = 0;
  #splitter: EventSplitter | undefined;
  #problem: Failure | undefined;
  #noted = false;

  constructor(response: ResponseGuard, send: SendEvent) {
    this.#response = response;
    this.#stream = new GuardedStream(response.guard, response.limits, send);
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

  /** Takes the last events and releases all: nothing follows. */
  finish(bytes: Uint8Array): void {
    this.#parts = [];
    if (bytes.length > 0) {
      this.written(bytes, 'none');
    }
    this.#stream.end();
  }

  /** Sends the events that end a blocked stream. */
  ending(bytes: Uint8Array): void {
    this.#each(bytes, (event, start, end) => this.#stream.ending(event, start, end));
  }

  /** Returns why the stream must end: a rule blocks, or what cannot be examined must not pass. */
  problem(nowMs: number): Failure | undefined {
    this.#nowMs = nowMs;
    const { block, unreadable } = this.#stream;
    if (unreadable) {
      this.#note('unreadable_response');
    }
    return block === undefined ? this.#problem : failure('content_blocked', block.message);
  }

  #note(reason: UnexaminedReason): void {
    if (!this.#noted) {
      this.#noted = true;
      this.#problem = this.#response.unexamined(reason);
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
