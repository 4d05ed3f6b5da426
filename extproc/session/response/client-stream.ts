/**
 * The client's side of a stream: what was sent of it, edited where the client must not see a part,
 * and how it ends early.
 */
import type { Failure } from '../../errors.ts';
import type { EventFacts, StreamWriter } from '../../providers/adapter.ts';
import type { EventSplitter } from '../../sse/events.ts';
import type { Usage } from '../../usage.ts';

/** Takes events in order, each as soon as its lease covers it. */
export interface EventSink {
  /** Takes a whole event, or a part of a long one. `bytes` and `facts` are valid until `flush`. */
  event(bytes: Uint8Array, start: number, end: number, part: EventPart, facts: EventFacts): void;
  /** The bytes of the events so far are about to change. */
  flush(): void;
}

export type EventPart = EventSplitter['part'];

const BLANK_LINE = Buffer.from('\n\n');

export class ClientStream implements EventSink {
  readonly #writer: StreamWriter;
  #pieces: Uint8Array[] = [];
  /** Between the parts of a long event. */
  #inEvent = false;
  // Adjacent events that pass unchanged leave as one piece, and so do converted ones.
  #isConverted = false;
  #passing: Uint8Array | undefined;
  #passingFrom = 0;
  #passingTo = 0;

  constructor(writer: StreamWriter) {
    this.#writer = writer;
  }

  event(bytes: Uint8Array, start: number, end: number, part: EventPart, facts: EventFacts): void {
    const writer = this.#writer;
    if (part === 'begun' && writer.converts) {
      return;
    }
    this.#inEvent = part === 'begun';
    const verdict = this.#inEvent ? 'pass' : writer.write(bytes, start, end, facts);
    if (verdict === 'pass' && this.#passing === bytes && this.#passingTo === start) {
      this.#passingTo = end;
      return;
    }
    if (verdict === 'replace' && writer.converts) {
      this.#isConverted = true;
      return;
    }
    this.flush();
    if (verdict === 'pass') {
      this.#passing = bytes;
      this.#passingFrom = start;
      this.#passingTo = end;
    } else if (verdict === 'replace') {
      this.#pieces.push(writer.replacement);
    }
  }

  flush(): void {
    const passing = this.#passing;
    this.#passing = undefined;
    if (passing !== undefined) {
      this.#pieces.push(passing.subarray(this.#passingFrom, this.#passingTo));
    }
    if (this.#isConverted) {
      this.#isConverted = false;
      this.#pieces.push(this.#writer.replacement);
    }
  }

  /** Ends the stream as the client API defines where the output reaches its bound. */
  truncate(usage: Usage): void {
    this.#endEvent();
    this.#pieces.push(this.#writer.truncate(usage));
  }

  /** Adds what the client lacks of a stream that the provider has ended. */
  end(): void {
    this.flush();
    const rest = this.#writer.end?.();
    if (rest !== undefined && rest.length > 0) {
      this.#pieces.push(rest);
    }
  }

  /** Ends the stream with an error event. */
  fail(problem: Failure): void {
    this.#endEvent();
    this.#pieces.push(this.#writer.fail(problem));
  }

  /** Returns what is to be sent now, partly as views of the bytes that were read last. */
  take(): readonly Uint8Array[] {
    const pieces = this.#pieces;
    if (pieces.length > 0) {
      this.#pieces = [];
    }
    return pieces;
  }

  /** Ends a long event between its parts, so that another event can follow. */
  #endEvent(): void {
    this.flush();
    if (this.#inEvent) {
      this.#pieces.push(BLANK_LINE);
    }
    this.#inEvent = false;
  }
}
