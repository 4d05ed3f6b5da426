/**
 * A streamed response, event by event, never further than its lease. Stops before the event that
 * exceeds the lease and reports how many tokens it needs; continues when they are granted, or ends
 * the stream as the client API defines.
 */

import type { TextSink } from '../../json/text-sink.ts';
import type { EventVerdict, StreamReader } from '../../providers/adapter.ts';
import type { CountingWork, Holder } from '../../quota/store.ts';
import { type EventSplitter, newEventSplitter } from '../../sse/events.ts';
import type { Meter } from '../../tokens/meter.ts';
import type { Usage } from '../../usage.ts';
import { BYTES_PER_TOKEN } from './evidence.ts';

/**
 * Text of one event beyond this is estimated by its bytes, so that tokenizing it cannot block the
 * event loop.
 */
const COUNTED_EVENT_BYTES = 16 * 1024;

/** No model writes this much in one event; a stream that does is ended. */
const MAX_EVENT_BYTES = 2 * 1024 * 1024;

const BLANK_LINE = Buffer.from('\n\n');

export class LeasedStream implements TextSink, Pick<Holder, 'unused' | 'giveBack'> {
  readonly reader: StreamReader;
  sawText = false;
  /** Tokens beyond the lease that the stopped event needs. */
  needed = 0;
  leasedTokens: number;
  readonly #meter: Meter;
  readonly #send: (bytes: Uint8Array) => void;
  readonly #splitter = newEventSplitter();
  #estimated = 0;
  #counted = 0;
  #eventBytes = 0;
  /** Between the parts of a long event. */
  #inLong = false;
  /** The stopped event, as it will be sent. */
  #stopped: Uint8Array | undefined;
  // Adjacent events that pass unchanged leave as one piece.
  #passing: Uint8Array | undefined;
  #passingFrom = 0;
  #passingTo = 0;

  constructor(reader: StreamReader, meter: Meter, leased: number, send: (bytes: Uint8Array) => void) {
    this.reader = reader;
    this.#meter = meter;
    this.leasedTokens = leased;
    this.#send = send;
  }

  /**
   * Reads bytes, which are not kept, and gives `send` what may go to the client, partly as views of
   * them. Returns false at the end of the lease.
   */
  push(bytes: Uint8Array): boolean {
    this.#splitter.push(bytes);
    return this.#drain();
  }

  /** Continues after an extension of at least `needed`. */
  extend(tokens: number): boolean {
    this.leasedTokens += tokens;
    this.needed = 0;
    if (this.#stopped !== undefined) {
      this.#send(this.#stopped);
    }
    this.#stopped = undefined;
    return this.#drain();
  }

  /** Sends what the provider left incomplete at its end. Returns false at the end of the lease. */
  finish(): boolean {
    this.#splitter.close();
    if (!this.#drain()) {
      return false;
    }
    // A last event without its blank line may hold the usage.
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
    let used = this.#meter.upperBound + this.#estimated;
    const uncounted = this.#meter.upperBound - this.#counted;
    if (kept < this.leasedTokens && kept < used && uncounted <= work.bytes) {
      work.bytes -= uncounted;
      this.#counted = this.#meter.near();
      used = this.#counted + this.#estimated;
    }
    return Math.max(0, this.leasedTokens - Math.max(kept, used));
  }

  giveBack(tokens: number): void {
    this.leasedTokens -= tokens;
  }

  /** Ends the stream as the client API defines. `rest` pays for a part of the stopped event. */
  cut(rest: number, usage: (outputTokens: number) => Usage): void {
    this.leasedTokens += rest;
    this.breakOff();
    this.#send(this.reader.cut(usage(this.outputTokens())));
  }

  /**
   * Returns the tokens of the text received, at most the lease; exact for the model's own
   * tokenizer.
   */
  outputTokens(): number {
    return Math.min(this.leasedTokens, this.#meter.count() + this.#estimated);
  }

  /** Returns the count without the lease as a bound; undefined where a part was estimated. */
  exactTokens(): number | undefined {
    return this.#estimated === 0 ? this.#meter.count() : undefined;
  }

  /** Ends a long event between its parts, so that another event can follow. */
  breakOff(): void {
    if (this.#inLong) {
      this.#send(BLANK_LINE);
    }
    this.#inLong = false;
  }

  /** An event exceeds the bound on bytes or on text. */
  get overflowed(): boolean {
    return this.#splitter.overflowed || this.#eventBytes > MAX_EVENT_BYTES;
  }

  /** Counts text of the current event; called by the reader. */
  text(channel: number, bytes: Uint8Array, start: number, end: number): void {
    this.sawText = true;
    const counted = Math.min(end - start, Math.max(0, COUNTED_EVENT_BYTES - this.#eventBytes));
    this.#eventBytes += end - start;
    if (counted > 0) {
      this.#meter.text(channel, bytes, start, start + counted);
    }
    if (counted < end - start) {
      this.#estimated += Math.ceil((end - start - counted) / BYTES_PER_TOKEN);
    }
  }

  /** Reads one event. Returns `stop` where the lease does not cover it. */
  #judge(bytes: Uint8Array, start: number, end: number, part: EventSplitter['part']): EventVerdict | 'stop' {
    const { reader } = this;
    if (!this.#inLong) {
      this.#eventBytes = 0;
    }
    this.#inLong = part === 'begun';
    const verdict = part === 'none' ? reader.read(bytes, start, end, this) : this.#readPart(bytes, start, end, part);
    if (this.#meter.upperBound + this.#estimated <= this.leasedTokens) {
      return verdict;
    }
    this.#counted = this.#meter.near();
    const tokens = this.#counted + this.#estimated;
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
