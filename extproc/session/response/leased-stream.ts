/**
 * A streamed response, event by event, never further than its lease. Stops before the event that
 * exceeds the lease and reports how many tokens it needs; continues when they are granted.
 */

import type { TextSink } from '../../json/text-sink.ts';
import type { EventFacts, EventReader, Framing, ResponseAdapter } from '../../providers/adapter.ts';
import type { CountingWork, Holder } from '../../quota/store.ts';
import { newAwsEventSplitter } from '../../sse/aws-event-stream.ts';
import { type EventSplitter, newEventSplitter } from '../../sse/events.ts';
import type { Meter } from '../../tokens/meter.ts';
import type { EventSink } from './client-stream.ts';
import { BYTES_PER_TOKEN } from './evidence.ts';
import type { EventPart } from './stream-guard.ts';

/**
 * Text of one event beyond this is estimated by its bytes, so that tokenizing it cannot block the
 * event loop.
 */
const COUNTED_EVENT_BYTES = 16 * 1024;

/** No model writes this much in one event; a stream that does is ended. */
const MAX_EVENT_BYTES = 2 * 1024 * 1024;

const splitters: Readonly<Record<Framing, () => EventSplitter>> = {
  sse: newEventSplitter,
  'aws-event-stream': newAwsEventSplitter,
};

interface StoppedEvent {
  readonly bytes: Uint8Array;
  readonly part: EventPart;
  readonly facts: EventFacts;
}

export class LeasedStream implements TextSink, Pick<Holder, 'unused' | 'giveBack'> {
  sawText = false;
  /** Tokens beyond the lease that the stopped event needs. */
  needed = 0;
  leasedTokens: number;
  readonly #reader: EventReader;
  readonly #meter: Meter;
  readonly #sink: EventSink;
  readonly #splitter: EventSplitter;
  #estimated = 0;
  #counted = 0;
  #eventBytes = 0;
  /** Between the parts of a long event. */
  #inLong = false;
  /** Nothing is read before the stopped event is sent, so its facts stay those of the reader. */
  #stopped: StoppedEvent | undefined;

  constructor(
    { reader, framing = 'sse' }: Pick<ResponseAdapter, 'reader' | 'framing'>,
    meter: Meter,
    leased: number,
    sink: EventSink,
  ) {
    this.#reader = reader;
    this.#splitter = splitters[framing]();
    this.#meter = meter;
    this.leasedTokens = leased;
    this.#sink = sink;
  }

  /**
   * Reads bytes, which are not kept, and gives the sink the events that the lease covers. Returns
   * false at the end of the lease.
   */
  push(bytes: Uint8Array): boolean {
    this.#splitter.push(bytes);
    return this.#drain();
  }

  /** Continues after an extension of at least `needed`. */
  extend(tokens: number): boolean {
    this.leasedTokens += tokens;
    this.needed = 0;
    const stopped = this.#stopped;
    this.#stopped = undefined;
    if (stopped !== undefined) {
      const { bytes, part, facts } = stopped;
      this.#sink.event(bytes, 0, bytes.length, part, facts);
    }
    return this.#drain();
  }

  /**
   * Ends the lease with an extension that is too small: it pays for a part of the stopped event.
   */
  endLease(tokens: number): void {
    this.leasedTokens += tokens;
  }

  /** Passes what the provider left incomplete at its end. Returns false at the end of the lease. */
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
    const passed = this.#pass(rest, 0, rest.length, this.#inLong ? 'last' : 'none');
    this.#sink.flush();
    return passed;
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

  /** Reads one event and passes it on. Returns false where the lease does not cover it. */
  #pass(bytes: Uint8Array, start: number, end: number, part: EventPart): boolean {
    const reader = this.#reader;
    if (!this.#inLong) {
      this.#eventBytes = 0;
    }
    this.#inLong = part === 'begun';
    const facts =
      part === 'none'
        ? reader.read(bytes, start, end, this)
        : reader.readPart(bytes, start, end, part === 'last', this);
    if (this.#isCovered()) {
      this.#sink.event(bytes, start, end, part, facts);
      return true;
    }
    this.#stopped = { bytes: Buffer.from(bytes.subarray(start, end)), part, facts };
    return false;
  }

  #isCovered(): boolean {
    if (this.#meter.upperBound + this.#estimated <= this.leasedTokens) {
      return true;
    }
    this.#counted = this.#meter.near();
    const tokens = this.#counted + this.#estimated;
    if (tokens <= this.leasedTokens) {
      return true;
    }
    this.needed = tokens - this.leasedTokens;
    return false;
  }

  #drain(): boolean {
    const splitter = this.#splitter;
    let passed = true;
    while (passed && splitter.next()) {
      passed = this.#pass(splitter.bytes, splitter.start, splitter.end, splitter.part);
    }
    this.#sink.flush();
    if (!passed) {
      splitter.detach();
    }
    return passed;
  }
}
