/**
 * The client's side of a stream: what was sent of it, edited where the client must not see a part,
 * and how it ends early.
 */
import type { AnswerTexts } from '../../content/answer-texts.ts';
import type { Failure } from '../../errors.ts';
import type { EventFacts, StreamWriter } from '../../providers/adapter.ts';
import type { Usage } from '../../usage.ts';
import type { ActionOf, EventOf } from '../protocol.ts';
import { type EventPart, type ResponseGuard, StreamGuard } from './stream-guard.ts';

/** Takes events in order, each as soon as its lease covers it. */
export interface EventSink {
  /** Takes a whole event, or a part of a long one. `bytes` and `facts` are valid until `flush`. */
  event(bytes: Uint8Array, start: number, end: number, part: EventPart, facts: EventFacts): void;
  /** The bytes of the events so far are about to change. */
  flush(): void;
}

const BLANK_LINE = Buffer.from('\n\n');
const NOTHING = new Uint8Array(0);
const NO_PIECES: Uint8Array[] = [];

export class ClientStream implements EventSink {
  readonly #writer: StreamWriter;
  /** Present where guardrails look at what the client gets. */
  readonly #guard: StreamGuard | undefined;
  /** Present where policies keep the text. */
  #content: AnswerTexts | undefined;
  #pieces = NO_PIECES;
  /** Between the parts of a long event. */
  #inEvent = false;
  // Adjacent events that pass unchanged leave as one piece, and so do converted ones.
  #isConverted = false;
  #passing: Uint8Array | undefined;
  #passingFrom = 0;
  #passingTo = 0;

  constructor(writer: StreamWriter, guard?: ResponseGuard, content?: AnswerTexts) {
    this.#writer = writer;
    this.#content = content;
    this.#guard = guard && new StreamGuard(guard, (bytes, start, end) => this.#pass(bytes, start, end));
  }

  event(bytes: Uint8Array, start: number, end: number, part: EventPart, facts: EventFacts): void {
    const writer = this.#writer;
    if (part === 'begun' && writer.converts) {
      return;
    }
    this.#inEvent = part === 'begun';
    const verdict = this.#inEvent ? 'pass' : writer.write(bytes, start, end, facts);
    if (verdict === 'pass') {
      if (this.#guard === undefined) {
        this.#pass(bytes, start, end);
      } else {
        this.#guard.event(bytes, start, end, part);
      }
      return;
    }
    if (verdict === 'replace' && writer.converts) {
      this.#isConverted = true;
      return;
    }
    this.flush();
    if (verdict === 'replace') {
      this.#write(writer.replacement, part);
    }
  }

  flush(): void {
    if (this.#isConverted) {
      this.#isConverted = false;
      this.#write(this.#writer.replacement, 'none');
    }
    const passing = this.#passing;
    this.#passing = undefined;
    if (passing !== undefined) {
      this.#add(passing.subarray(this.#passingFrom, this.#passingTo));
    }
  }

  /** Ends the stream as the client API defines where the output reaches its bound. */
  truncate(usage: Usage): void {
    this.#endEvent();
    this.#finish(this.#writer.truncate(usage));
  }

  /** Adds what the client lacks of a stream that the provider has ended. */
  end(): void {
    this.flush();
    this.#finish(this.#writer.end?.() ?? NOTHING);
  }

  /** Ends the stream with an error event. */
  fail(problem: Failure): void {
    this.#finish(NOTHING);
    this.#endEvent();
    this.#keepText();
    // The error is no part of the answer.
    this.#content = undefined;
    this.#add(this.#writer.fail(problem));
  }

  /** Ends a stream that a guardrail has blocked, as the client API defines for this. */
  block(usage: Usage): void {
    this.flush();
    this.#guard!.ending(this.#writer.truncate(usage));
    this.flush();
  }

  /** Tells what the guardrails say about the stream so far. */
  guarded(nowMs: number): Failure | undefined {
    return this.#guard?.problem(nowMs);
  }

  /** Text waits for services of guardrails; nothing more can be decided without them. */
  get isWaiting(): boolean {
    return this.#guard?.isWaiting === true;
  }

  /** So much waits for services that no more may arrive. */
  get isFull(): boolean {
    return this.#guard?.isFull === true;
  }

  /** Returns the questions to services that are to be asked now. */
  questions(): readonly ActionOf<'analyze'>[] {
    return this.#guard?.questions() ?? [];
  }

  /** Takes the answer of a service. */
  answer({ id, result }: EventOf<'analyzed'>, nowMs: number): void {
    this.#guard?.answer(id, result, nowMs);
    this.flush();
  }

  /** Returns what is to be sent now, partly as views of the bytes that were read last. */
  take(): readonly Uint8Array[] {
    const pieces = this.#pieces;
    if (pieces.length > 0) {
      this.#keepText();
      this.#pieces = NO_PIECES;
    }
    return pieces;
  }

  /** Most events leave alone, and an empty array would get room for many. */
  #add(piece: Uint8Array): void {
    if (this.#pieces === NO_PIECES) {
      this.#pieces = [piece];
    } else {
      this.#pieces.push(piece);
    }
  }

  #keepText(): void {
    if (this.#content !== undefined) {
      for (const piece of this.#pieces) {
        this.#content.stream(piece);
      }
    }
  }

  /** Sends an event that passes unchanged. */
  #pass(bytes: Uint8Array, start: number, end: number): void {
    if (this.#passing === bytes && this.#passingTo === start) {
      this.#passingTo = end;
      return;
    }
    const passing = this.#passing;
    if (passing !== undefined) {
      this.#add(passing.subarray(this.#passingFrom, this.#passingTo));
    }
    this.#passing = bytes;
    this.#passingFrom = start;
    this.#passingTo = end;
  }

  /** Sends bytes of the writer: events, or the end of a long one. */
  #write(bytes: Uint8Array, part: EventPart): void {
    if (this.#guard === undefined) {
      this.#add(bytes);
    } else {
      this.#guard.written(bytes, part);
    }
  }

  /** Sends the last events; nothing follows. */
  #finish(bytes: Uint8Array): void {
    if (this.#guard !== undefined) {
      this.#guard.finish(bytes);
      this.flush();
    } else if (bytes.length > 0) {
      this.#add(bytes);
    }
  }

  /** Ends a long event between its parts, so that another event can follow. */
  #endEvent(): void {
    this.flush();
    if (this.#inEvent && this.#guard === undefined) {
      this.#add(BLANK_LINE);
    }
    this.#inEvent = false;
  }
}
