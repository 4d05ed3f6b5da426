/** Meters: text of answers enters as raw contents of JSON strings, numbers of tokens leave. What waits to be counted is bounded. */
import type { Tokenizer } from '../../contract/policy.ts';
import type { TextSink } from '../providers/adapter.ts';
import { type Encoding, type ModelEncoding, modelEncoding } from './encodings.ts';
import { PendingText } from './pending-text.ts';

/**
 * Counts the text of one answer while it comes. Adding is cheap (bytes are copied, nothing is tokenized); `upperBound` is always at least the true count,
 * `count()` makes it exact at the cost of tokenizing what came since the last call. Memory is bounded: long pending text is counted and let go.
 */
export interface Meter extends TextSink {
  /** An upper bound of the tokens so far: what was counted + the bytes that were not. */
  readonly upperBound: number;
  /** Exact, as far as the encoding is the model's own. Joined text of a channel is counted as one text, not delta by delta. */
  count(): number;
  /** As `count`, for a decision about each event: in the middle of a long word it may be a few tokens more. */
  near(): number;
}

/** Counts long input in slices: `step(budgetMs)` works that long at most and says whether it is done. */
export interface SlicedCount {
  readonly tokens: number;
  step(budgetMs: number): boolean;
}

/** Bytes of a stream that wait to be counted: past it they are counted where they are, which takes about a millisecond. */
const MAX_PENDING_BYTES = 8 * 1024;

/** Texts of one answer at a time; OpenAI gives up to 128 choices. Past it the oldest one is taken to be at its end. */
const MAX_CHANNELS = 256;

export function newMeter(tokenizer: Tokenizer, model: string): Meter {
  return new TextMeter(modelEncoding(tokenizer, model));
}

class TextMeter implements Meter {
  readonly #encoding: Encoding;
  readonly #factorPercent: number;
  readonly #channels = new Map<number, PendingText>();
  #pendingBytes = 0;
  /** Of channels that are at their end. */
  #endedTokens = 0;

  constructor({ encoding, factorPercent }: ModelEncoding) {
    this.#encoding = encoding;
    this.#factorPercent = factorPercent;
  }

  text(channel: number, bytes: Uint8Array, start: number, end: number): void {
    if (start >= end) return;
    const of = this.#channels.get(channel) ?? this.#open(channel);
    for (let at = start; at < end; ) {
      const to = Math.min(end, at + MAX_PENDING_BYTES - this.#pendingBytes);
      of.add(bytes, at, to);
      this.#pendingBytes += to - at;
      at = to;
      if (this.#pendingBytes === MAX_PENDING_BYTES) this.#settle();
    }
  }

  get upperBound(): number {
    let tokens = this.#endedTokens;
    for (const channel of this.#channels.values()) tokens += channel.upperBound;
    return this.#scaled(tokens);
  }

  count(): number {
    let tokens = this.#endedTokens;
    for (const channel of this.#channels.values()) tokens += channel.count();
    this.#pendingBytes = 0;
    return this.#scaled(tokens);
  }

  near(): number {
    let tokens = this.#endedTokens;
    for (const channel of this.#channels.values()) tokens += channel.near();
    this.#pendingBytes = 0;
    return this.#scaled(tokens);
  }

  #open(channel: number): PendingText {
    if (this.#channels.size === MAX_CHANNELS) {
      const [oldest, text] = this.#channels.entries().next().value!;
      this.#pendingBytes -= text.pendingBytes;
      this.#endedTokens += text.count();
      this.#channels.delete(oldest);
    }
    const opened = new PendingText(this.#encoding);
    this.#channels.set(channel, opened);
    return opened;
  }

  #settle(): void {
    for (const channel of this.#channels.values()) channel.settle();
    this.#pendingBytes = 0;
  }

  #scaled(tokens: number): number {
    return Math.ceil((tokens * this.#factorPercent) / 100);
  }
}
