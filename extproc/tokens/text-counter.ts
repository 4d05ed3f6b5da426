import { unescapeInto, unfinishedEscape } from '../json/unescape.ts';
import type { Encoding } from './encodings.ts';
import { tokensOfPiece } from './merge.ts';
import { MAX_PIECE_BYTES } from './split.ts';

/** Raw bytes that are decoded at a time. */
const CHUNK_BYTES = 4096;

/** A split escape, or half of a pair and a split escape: `\ud83d\udc0`. */
const MAX_UNFINISHED_BYTES = 11;

/** A last piece that more text may still change, and its look-ahead. */
const MAX_TAIL_BYTES = MAX_PIECE_BYTES + 4;

// Shared by all counters, because everything here is synchronous.
const raw = new Uint8Array(MAX_UNFINISHED_BYTES + CHUNK_BYTES);
const text = new Uint8Array(MAX_TAIL_BYTES + raw.length);

/**
 * The most tokens that a word may have beyond the sum of its two parts, because merging may take
 * another order. Never exceeded in three million words of letters, syllables and signs.
 */
const MAX_SURPRISE_TOKENS = 2;

/** Merging a longer word takes longer than reading an event. */
const LONG_WORD_BYTES = 128;

const NOTHING = new Uint8Array(0);

/**
 * Counts one text that arrives as raw JSON string contents, cut anywhere. Pieces that no more text
 * can change are counted and released; at most about 1 KB is kept. The count does not depend on the
 * cuts.
 */
export class TextCounter {
  /** Tokens that are final. */
  tokens = 0;
  readonly #encoding: Encoding;
  /** Decoded text after the final tokens: the tail. */
  #tail = NOTHING;
  #tailLength = 0;
  /** Raw bytes after the tail that cannot be decoded yet. */
  #unfinished = NOTHING;
  #unfinishedLength = 0;
  /** Tokens of the kept text if nothing followed; -1: not counted. */
  #tailTokens = 0;
  /** The result of the last `near`, without the final tokens; -1: not counted. */
  #nearTokens = -1;
  /** The tokens of the tail's beginning at its last count, and its length then. */
  #countedTokens = 0;
  #countedLength = 0;

  constructor(encoding: Encoding) {
    this.#encoding = encoding;
  }

  /**
   * Returns an upper bound on the tokens of the kept text. A long word that was counted is not
   * bounded by its bytes again: it would have to be counted anew with each letter.
   */
  get keptBound(): number {
    const since = this.#tailLength - this.#countedLength + MAX_SURPRISE_TOKENS;
    return Math.min(this.#tailLength, this.#countedTokens + since) + this.#unfinishedLength;
  }

  add(bytes: Uint8Array, start: number, end: number): void {
    for (let at = start; at < end; at += CHUNK_BYTES) {
      this.#addChunk(bytes, at, Math.min(end, at + CHUNK_BYTES));
    }
  }

  /** Returns the tokens of all text so far, as if it ended here. */
  count(): number {
    if (this.#tailTokens === -1) {
      this.#tailTokens = this.#tokensFrom(0);
      this.#countedTokens = this.#tailTokens;
      this.#countedLength = this.#tailLength;
    }
    return this.tokens + this.#tailTokens;
  }

  /**
   * Like `count`, but does not merge a growing long word anew each time: its new part is counted
   * separately, which may give a few tokens too many.
   */
  near(): number {
    const since = this.#tailLength - this.#countedLength;
    if (this.#tailTokens !== -1 || this.#tailLength < LONG_WORD_BYTES || since * 8 > this.#tailLength) {
      return this.count();
    }
    if (this.#nearTokens === -1) {
      this.#nearTokens = this.#countedTokens + this.#tokensFrom(this.#countedLength) + MAX_SURPRISE_TOKENS;
    }
    return this.tokens + this.#nearTokens;
  }

  /** Tokens of the tail. */
  #tokensFrom(offset: number): number {
    text.set(this.#tail.subarray(offset, this.#tailLength));
    const end = unescapeInto(text, this.#tailLength - offset, this.#unfinished, 0, this.#unfinishedLength);
    let tokens = 0;
    for (let at = 0; at < end; ) {
      const next = this.#encoding.splitter.next(text, at, end, true);
      tokens += tokensOfPiece(this.#encoding.ranks, text, at, next);
      at = next;
    }
    return tokens;
  }

  /** Ends the text. Another one may follow. */
  end(): void {
    this.tokens = this.count();
    this.#tailLength = 0;
    this.#unfinishedLength = 0;
    this.#tailTokens = 0;
    this.#forgetCount();
  }

  #forgetCount(): void {
    this.#countedTokens = 0;
    this.#countedLength = 0;
  }

  #addChunk(bytes: Uint8Array, start: number, end: number): void {
    let length = this.#unfinishedLength;
    raw.set(this.#unfinished.subarray(0, length));
    for (let at = start; at < end; at++) {
      raw[length++] = bytes[at]!;
    }
    const decodable = length - unfinishedEscape(raw, 0, length);

    text.set(this.#tail.subarray(0, this.#tailLength));
    const textEnd = unescapeInto(text, this.#tailLength, raw, 0, decodable);
    const { splitter, ranks } = this.#encoding;
    let at = 0;
    while (at < textEnd) {
      const next = splitter.next(text, at, textEnd, false);
      if (next === -1) {
        break;
      }
      this.tokens += tokensOfPiece(ranks, text, at, next);
      at = next;
    }
    if (at > 0) {
      this.#forgetCount();
    }
    this.#tail = kept(this.#tail, text, at, textEnd);
    this.#tailLength = textEnd - at;
    this.#unfinished = kept(this.#unfinished, raw, decodable, length);
    this.#unfinishedLength = length - decodable;
    this.#tailTokens = this.#tailLength + this.#unfinishedLength === 0 ? 0 : -1;
    this.#nearTokens = -1;
  }
}

/** Words are short: a small buffer serves most texts, and a large one is released early. */
function kept(into: Uint8Array<ArrayBuffer>, from: Uint8Array, start: number, end: number): Uint8Array<ArrayBuffer> {
  const length = end - start;
  if (length === 0) {
    return into;
  }
  const fits = into.length >= length && into.length <= Math.max(64, length * 4);
  const target = fits ? into : new Uint8Array(Math.max(32, length));
  for (let at = 0; at < length; at++) {
    target[at] = from[start + at]!;
  }
  return target;
}
