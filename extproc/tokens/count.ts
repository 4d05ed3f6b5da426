import type { Tokenizer } from '../../contract/policy.ts';
import type { ScannedBody } from '../json/scanner.ts';
import { modelEncoding } from './encodings.ts';
import type { SlicedCount } from './meter.ts';
import { TextCounter } from './text-counter.ts';

/**
 * Bytes between two looks at the clock: the slowest text takes a third of a millisecond for this
 * amount.
 */
const BYTES_A_LOOK = 1024;

export interface SlicedCountOptions {
  /** Stops early once the count exceeds this limit. */
  readonly limitTokens?: number | undefined;
  /** Milliseconds, with fractions. */
  readonly now?: () => number;
}

/** Counts pieces of raw JSON string contents that form one text. */
export function newSlicedCount(
  pieces: readonly Uint8Array[],
  tokenizer: Tokenizer,
  model: string,
  limitTokens?: number,
  now?: () => number,
): SlicedCount {
  let index = 0;
  return slicedCount(tokenizer, model, { limitTokens, ...(now && { now }) }, (chunk) => {
    const piece = pieces[index++];
    if (piece === undefined) {
      return false;
    }
    chunk.bytes = piece;
    chunk.start = 0;
    chunk.end = piece.length;
    return true;
  });
}

/** Counts the text of a request, each string on its own. */
export function newBodyCount(
  body: Pick<ScannedBody, 'bytes' | 'textSpans'>,
  tokenizer: Tokenizer,
  model: string,
  options: SlicedCountOptions = {},
): SlicedCount {
  const { bytes: pieces } = body;
  const spans = body.textSpans();
  let index = 0;
  let base = 0;
  let left = spans.next();
  let from = spans.start;
  return slicedCount(tokenizer, model, options, (chunk) => {
    if (!left) {
      return false;
    }
    while (base + pieces[index]!.length <= from) {
      base += pieces[index++]!.length;
    }
    const piece = pieces[index]!;
    chunk.bytes = piece;
    chunk.start = from - base;
    chunk.end = Math.min(spans.end - base, piece.length);
    from = base + chunk.end;
    chunk.endsText = from === spans.end;
    if (chunk.endsText) {
      left = spans.next();
      from = spans.start;
    }
    return true;
  });
}

/** `\u0041` is one byte of text in six. */
const MOST_RAW_BYTES_A_BYTE = 6;

/**
 * Returns a lower bound on the tokens of raw JSON string contents of this length: no token is
 * longer than the longest of its encoding.
 */
export function leastTokens(rawBytes: number, tokenizer: Tokenizer, model: string): number {
  const { encoding, factorPercent } = modelEncoding(tokenizer, model);
  const tokens = Math.ceil(rawBytes / (MOST_RAW_BYTES_A_BYTE * encoding.ranks.longest));
  return Math.ceil((tokens * factorPercent) / 100);
}

/** The next range to count. */
interface TextChunk {
  bytes: Uint8Array;
  start: number;
  end: number;
  endsText: boolean;
}

function slicedCount(
  tokenizer: Tokenizer,
  model: string,
  { limitTokens = Number.POSITIVE_INFINITY, now = () => performance.now() }: SlicedCountOptions,
  next: (chunk: TextChunk) => boolean,
): SlicedCount {
  const { encoding, factorPercent } = modelEncoding(tokenizer, model);
  const counter = new TextCounter(encoding);
  const chunk: TextChunk = { bytes: new Uint8Array(0), start: 0, end: 0, endsText: false };
  const scaled = (tokens: number): number => Math.ceil((tokens * factorPercent) / 100);
  let done = false;

  return {
    get tokens() {
      return scaled(counter.count());
    },
    step(budgetMs) {
      const until = now() + budgetMs;
      let looked = 0;
      while (!done) {
        if (chunk.start === chunk.end && !next(chunk)) {
          counter.end();
          done = true;
          break;
        }
        const to = Math.min(chunk.end, chunk.start + BYTES_A_LOOK - looked);
        counter.add(chunk.bytes, chunk.start, to);
        looked += to - chunk.start;
        chunk.start = to;
        if (to === chunk.end && chunk.endsText) {
          counter.end();
          looked += 16;
        }
        if (looked >= BYTES_A_LOOK) {
          looked = 0;
          if (scaled(counter.tokens) > limitTokens) {
            done = true;
          } else if (now() >= until) {
            break;
          }
        }
      }
      return done;
    },
  };
}
