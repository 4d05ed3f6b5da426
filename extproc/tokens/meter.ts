/** Meters: text of answers enters as raw contents of JSON strings, numbers of tokens leave. What waits to be counted is bounded. */
import type { Tokenizer } from '../../contract/policy.ts';
import type { TextSink } from '../providers/adapter.ts';
import { modelEncoding } from './encodings.ts';
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
  const { encoding, factorPercent } = modelEncoding(tokenizer, model);
  const channels = new Map<number, PendingText>();
  let pendingBytes = 0;
  /** Of channels that are at their end. */
  let endedTokens = 0;

  const settle = (): void => {
    for (const channel of channels.values()) channel.settle();
    pendingBytes = 0;
  };
  const scaled = (tokens: number): number => Math.ceil((tokens * factorPercent) / 100);

  return {
    text(channel, bytes, start, end) {
      if (start >= end) return;
      let of = channels.get(channel);
      if (of === undefined) {
        if (channels.size === MAX_CHANNELS) {
          const [oldest, text] = channels.entries().next().value!;
          pendingBytes -= text.pendingBytes;
          endedTokens += text.count();
          channels.delete(oldest);
        }
        of = new PendingText(encoding);
        channels.set(channel, of);
      }
      for (let at = start; at < end; ) {
        const to = Math.min(end, at + MAX_PENDING_BYTES - pendingBytes);
        of.add(bytes, at, to);
        pendingBytes += to - at;
        at = to;
        if (pendingBytes === MAX_PENDING_BYTES) settle();
      }
    },
    get upperBound() {
      let tokens = endedTokens;
      for (const channel of channels.values()) tokens += channel.upperBound;
      return scaled(tokens);
    },
    count() {
      let tokens = endedTokens;
      for (const channel of channels.values()) tokens += channel.count();
      pendingBytes = 0;
      return scaled(tokens);
    },
  };
}
