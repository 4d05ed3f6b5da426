/**
 * Meters count the tokens of an answer from raw contents of JSON strings. The text that waits to be
 * counted is bounded.
 */
import type { Tokenizer } from '../../contract/policy.ts';
import type { TextSink } from '../json/text-sink.ts';
import { type Encoding, type ModelEncoding, modelEncoding } from './encodings.ts';
import { PendingText } from './pending-text.ts';

/**
 * Counts the text of one answer while it arrives. Adding text is cheap: bytes are copied, and
 * nothing is tokenized. `upperBound` is never below the true count. `count()` is exact, at the cost
 * of tokenizing the text since the last call. Memory is bounded: long pending text is counted and
 * released.
 */
export interface Meter extends TextSink {
  /** An upper bound of the tokens so far: counted tokens plus uncounted bytes. */
  readonly upperBound: number;
  /**
   * Exact if the encoding is the model's own. The text of a channel is counted as one text, not
   * delta by delta.
   */
  count(): number;
  /**
   * Like `count`, for a decision about each event. In the middle of a long word the result may be a
   * few tokens too high.
   */
  near(): number;
}

/**
 * Counts long input in slices: `step(budgetMs)` works for at most that time and returns whether it
 * is done.
 */
export interface SlicedCount {
  readonly tokens: number;
  step(budgetMs: number): boolean;
}

/**
 * Bytes of a stream that wait to be counted. Past it they are counted at once, which takes about a
 * millisecond.
 */
const MAX_PENDING_BYTES = 8 * 1024;

/**
 * Open channels per answer; OpenAI sends up to 128 choices. Past it the oldest one is taken as
 * complete.
 */
const MAX_CHANNELS = 256;

export function newMeter(tokenizer: Tokenizer, model: string): Meter {
  return new TextMeter(modelEncoding(tokenizer, model));
}

class TextMeter implements Meter {
  readonly #encoding: Encoding;
  readonly #factorPercent: number;
  readonly #channels = new Map<number, PendingText>();
  /**
   * Channels with text since their last count: an event adds to one or two, and there may be
   * hundreds.
   */
  #touched: PendingText[] = [];
  #pendingBytes = 0;
  /** Tokens of completed channels. */
  #endedTokens = 0;
  /** Sums over the open channels: of their upper bounds, and of their last counts. */
  #boundTokens = 0;
  #countedTokens = 0;

  constructor({ encoding, factorPercent }: ModelEncoding) {
    this.#encoding = encoding;
    this.#factorPercent = factorPercent;
  }

  text(channel: number, bytes: Uint8Array, start: number, end: number): void {
    if (start >= end) {
      return;
    }
    const of = this.#channels.get(channel) ?? this.#open(channel);
    if (!of.touched) {
      this.#touched.push(of);
    }
    of.touched = true;
    for (let at = start; at < end; ) {
      const to = Math.min(end, at + MAX_PENDING_BYTES - this.#pendingBytes);
      of.add(bytes, at, to);
      this.#boundTokens += to - at;
      this.#pendingBytes += to - at;
      at = to;
      if (this.#pendingBytes === MAX_PENDING_BYTES) {
        this.#settle();
      }
    }
  }

  get upperBound(): number {
    return this.#scaled(this.#endedTokens + this.#boundTokens);
  }

  count(): number {
    for (const channel of this.#channels.values()) {
      this.#counted(channel, channel.upperBound, channel.count());
    }
    return this.#allCounted();
  }

  near(): number {
    for (const channel of this.#touched) {
      this.#counted(channel, channel.upperBound, channel.near());
    }
    return this.#allCounted();
  }

  #counted(channel: PendingText, bound: number, tokens: number): void {
    this.#boundTokens += channel.upperBound - bound;
    this.#countedTokens += tokens - channel.countedTokens;
    channel.countedTokens = tokens;
    channel.touched = false;
  }

  #allCounted(): number {
    this.#touched = [];
    this.#pendingBytes = 0;
    return this.#scaled(this.#endedTokens + this.#countedTokens);
  }

  #open(channel: number): PendingText {
    if (this.#channels.size === MAX_CHANNELS) {
      this.#end(this.#channels.entries().next().value!);
    }
    const opened = new PendingText(this.#encoding);
    this.#channels.set(channel, opened);
    return opened;
  }

  #end([channel, text]: readonly [number, PendingText]): void {
    this.#pendingBytes -= text.pendingBytes;
    this.#boundTokens -= text.upperBound;
    this.#countedTokens -= text.countedTokens;
    this.#touched = this.#touched.filter((each) => each !== text);
    this.#endedTokens += text.count();
    this.#channels.delete(channel);
  }

  #settle(): void {
    for (const channel of this.#touched) {
      const bound = channel.upperBound;
      channel.settle();
      this.#boundTokens += channel.upperBound - bound;
    }
    this.#pendingBytes = 0;
  }

  #scaled(tokens: number): number {
    return Math.ceil((tokens * this.#factorPercent) / 100);
  }
}
