/**
 * A streamed answer: bytes in, bytes out, event by event, never further than its lease. Stops where the lease is at its end and says how much more the
 * event needs; goes on when more was granted, or ends the stream in the dialect when not.
 */

import type { TextSink } from '../json/text-sink.ts';
import type { EventVerdict, StreamReader } from '../providers/adapter.ts';
import type { CountingWork, Holder } from '../quota/store.ts';
import { type EventSplitter, newEventSplitter } from '../sse/events.ts';
import type { Meter } from '../tokens/meter.ts';
import type { Usage } from '../usage.ts';

/** Text of one event beyond this is not tokenized but reckoned by bytes: one event must not hold the event loop. */
const COUNTED_EVENT_BYTES = 16 * 1024;

/** No model writes so much in one event: the stream is ended. */
const MOST_EVENT_BYTES = 2 * 1024 * 1024;

/** Tokens of text that is only reckoned: more than English needs, so that the lease is passed sooner rather than later. */
export const BYTES_A_TOKEN = 3;

export interface StreamAnswer extends Pick<Holder, 'unused' | 'giveBack'> {
  /** Bytes from the provider, which are not kept. What may go on to the client is given to `send`, some of it as views of them. False: the lease is at its end; see `needed`. */
  push(bytes: Uint8Array): boolean;
  /** Goes on after an extension of at least `needed`. */
  extend(tokens: number): boolean;
  /** What the event at which it stopped needs on top of the lease. */
  readonly needed: number;
  /** The provider's end: sends what stood incomplete. False: the lease is at its end. */
  finish(): boolean;
  /** Ends the stream in the dialect. The rest of the budget pays for a part of the event at which it stopped. */
  cut(rest: number, usage: (outputTokens: number) => Usage): void;
  readonly reader: StreamReader;
  readonly leasedTokens: number;
  readonly sawText: boolean;
  /** Tokens of text that came, exact where the tokenizer is the model's own; not more than the lease. */
  outputTokens(): number;
  /** As `outputTokens`; absent where some of it was only reckoned. */
  exactTokens(): number | undefined;
  /** Ends an event that is in the middle of its parts, so that another one can follow. */
  breakOff(): void;
  /** An event does not end, or has more text than any. */
  readonly overflowed: boolean;
}

export function newStreamAnswer(
  reader: StreamReader,
  meter: Meter,
  leased: number,
  send: (bytes: Uint8Array) => void,
): StreamAnswer {
  return new LeasedStream(reader, meter, leased, send);
}

const BLANK_LINE = Buffer.from('\n\n');

class LeasedStream implements StreamAnswer, TextSink {
  readonly reader: StreamReader;
  sawText = false;
  needed = 0;
  leasedTokens: number;
  readonly #meter: Meter;
  readonly #send: (bytes: Uint8Array) => void;
  readonly #splitter = newEventSplitter();
  #reckoned = 0;
  #counted = 0;
  #eventBytes = 0;
  /** Parts of a long event came, and its end not yet. */
  #inLong = false;
  /** What the stopped event becomes when it may go. */
  #stopped: Uint8Array | undefined;
  // Whole events that pass unchanged and lie side by side leave as one piece.
  #passing: Uint8Array | undefined;
  #passingFrom = 0;
  #passingTo = 0;

  constructor(reader: StreamReader, meter: Meter, leased: number, send: (bytes: Uint8Array) => void) {
    this.reader = reader;
    this.#meter = meter;
    this.leasedTokens = leased;
    this.#send = send;
  }

  push(bytes: Uint8Array): boolean {
    this.#splitter.push(bytes);
    return this.#drain();
  }

  extend(tokens: number): boolean {
    this.leasedTokens += tokens;
    this.needed = 0;
    if (this.#stopped !== undefined) {
      this.#send(this.#stopped);
    }
    this.#stopped = undefined;
    return this.#drain();
  }

  finish(): boolean {
    this.#splitter.close();
    if (!this.#drain()) {
      return false;
    }
    // A last event without its blank line is read too: it may have the usage.
    const rest = this.#splitter.rest();
    if (rest.length === 0) {
      return true;
    }
    const verdict = this.#judge(rest, 0, rest.length, this.#inLong ? 'last' : 'none');
    if (verdict === 'stop') {
      return false;
    }
    if (verdict !== 'drop') {
      this.#send(verdict === 'pass' ? rest : this.reader.replacement);
    }
    return true;
  }

  unused(kept: number, work: CountingWork): number {
    let used = this.#meter.upperBound + this.#reckoned;
    const uncounted = this.#meter.upperBound - this.#counted;
    if (kept < this.leasedTokens && kept < used && uncounted <= work.bytes) {
      work.bytes -= uncounted;
      this.#counted = this.#meter.near();
      used = this.#counted + this.#reckoned;
    }
    return Math.max(0, this.leasedTokens - Math.max(kept, used));
  }

  giveBack(tokens: number): void {
    this.leasedTokens -= tokens;
  }

  cut(rest: number, usage: (outputTokens: number) => Usage): void {
    this.leasedTokens += rest;
    this.breakOff();
    this.#send(this.reader.cut(usage(this.outputTokens())));
  }

  outputTokens(): number {
    return Math.min(this.leasedTokens, this.#meter.count() + this.#reckoned);
  }

  exactTokens(): number | undefined {
    return this.#reckoned === 0 ? this.#meter.count() : undefined;
  }

  breakOff(): void {
    if (this.#inLong) {
      this.#send(BLANK_LINE);
    }
    this.#inLong = false;
  }

  get overflowed(): boolean {
    return this.#splitter.overflowed || this.#eventBytes > MOST_EVENT_BYTES;
  }

  /** Text of the event that is being read. */
  text(channel: number, bytes: Uint8Array, start: number, end: number): void {
    this.sawText = true;
    const counted = Math.min(end - start, Math.max(0, COUNTED_EVENT_BYTES - this.#eventBytes));
    this.#eventBytes += end - start;
    if (counted > 0) {
      this.#meter.text(channel, bytes, start, start + counted);
    }
    if (counted < end - start) {
      this.#reckoned += Math.ceil((end - start - counted) / BYTES_A_TOKEN);
    }
  }

  /** Reads an event; `stop` keeps it back, because the lease does not reach. */
  #judge(bytes: Uint8Array, start: number, end: number, part: EventSplitter['part']): EventVerdict | 'stop' {
    const { reader } = this;
    if (!this.#inLong) {
      this.#eventBytes = 0;
    }
    this.#inLong = part === 'begun';
    const verdict = part === 'none' ? reader.read(bytes, start, end, this) : this.#readPart(bytes, start, end, part);
    if (this.#meter.upperBound + this.#reckoned <= this.leasedTokens) {
      return verdict;
    }
    this.#counted = this.#meter.near();
    const tokens = this.#counted + this.#reckoned;
    if (tokens <= this.leasedTokens) {
      return verdict;
    }
    this.#stopped =
      verdict === 'drop'
        ? undefined
        : verdict === 'pass'
          ? Buffer.from(bytes.subarray(start, end))
          : reader.replacement;
    this.needed = tokens - this.leasedTokens;
    return 'stop';
  }

  #readPart(bytes: Uint8Array, start: number, end: number, part: EventSplitter['part']): EventVerdict {
    this.reader.readPart(bytes, start, end, part === 'last', this);
    return 'pass';
  }

  #drain(): boolean {
    const splitter = this.#splitter;
    while (splitter.next()) {
      const { bytes, start, end } = splitter;
      const verdict = this.#judge(bytes, start, end, splitter.part);
      if (verdict === 'pass' && this.#passing === bytes && this.#passingTo === start) {
        this.#passingTo = end;
        continue;
      }
      this.#flush();
      if (verdict === 'stop') {
        splitter.detach();
        return false;
      }
      if (verdict === 'replace') {
        this.#send(this.reader.replacement);
      }
      if (verdict === 'pass') {
        this.#passing = bytes;
        this.#passingFrom = start;
        this.#passingTo = end;
      }
    }
    this.#flush();
    return true;
  }

  #flush(): void {
    const passing = this.#passing;
    this.#passing = undefined;
    if (passing !== undefined) {
      this.#send(passing.subarray(this.#passingFrom, this.#passingTo));
    }
  }
}
