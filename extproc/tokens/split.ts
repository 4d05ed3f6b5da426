import { ASCII_CLASSES, classOf, LETTER, LOWER, MARK, NEWLINE, NUMBER, OTHER, SPACE, UPPER } from './characters.ts';

/**
 * The largest piece in bytes: merging is slower than linear, and no word of any language comes
 * near.
 */
export const MAX_PIECE_BYTES = 1024;

const BEGINS_WORD = UPPER | LETTER | MARK;
const ENDS_WORD = LOWER | LETTER | MARK;
const BOTH = LETTER | MARK;
const ANY_LETTER = UPPER | LOWER | LETTER;
const PREFIX = OTHER | MARK | SPACE;
const SYMBOL = OTHER | MARK;
const WHITE = SPACE | NEWLINE;

const APOSTROPHE = 0x27;
const SLASH = 0x2f;

/**
 * Splits UTF-8 text into the pieces that are merged separately, like the encodings' regular
 * expressions, but on bytes, without backtracking, and with a look-ahead of at most
 * `MAX_PIECE_BYTES`. The patterns:
 * https://github.com/openai/tiktoken/blob/main/tiktoken_ext/openai_public.py
 */
export abstract class TextSplitter {
  protected bytes: Uint8Array = new Uint8Array(0);
  protected end = 0;
  /** The byte length of the character that `classAt` read last. */
  protected width = 0;
  /** The end of the text decided something that more text could change. */
  #touchedEnd = false;

  /**
   * Returns the end of the piece that begins at `start`, or -1 if the text after `end` decides.
   * With `last` there is no more text.
   */
  next(bytes: Uint8Array, start: number, end: number, last: boolean): number {
    const bounded = end - start > MAX_PIECE_BYTES;
    this.bytes = bytes;
    this.end = bounded ? characterStart(bytes, start + MAX_PIECE_BYTES) : end;
    this.#touchedEnd = false;
    const found = this.piece(start);
    return this.#touchedEnd && !bounded && !last ? -1 : found;
  }

  protected abstract piece(start: number): number;

  protected classAt(at: number): number {
    if (at >= this.end) {
      this.#touchedEnd = true;
      this.width = 0;
      return 0;
    }
    const byte = this.bytes[at]!;
    if (byte >= 0x80) {
      return this.#wideClass(at, byte);
    }
    this.width = 1;
    return ASCII_CLASSES[byte]!;
  }

  /** Returns the end of a run of these classes. */
  protected run(start: number, mask: number): number {
    const { bytes, end } = this;
    let at = start;
    while (at < end) {
      const byte = bytes[at]!;
      if (byte < 0x80) {
        if ((ASCII_CLASSES[byte]! & mask) === 0) {
          return at;
        }
        at++;
      } else {
        if ((this.#wideClass(at, byte) & mask) === 0) {
          return at;
        }
        at += this.width;
      }
    }
    this.#touchedEnd = true;
    return at;
  }

  /** Returns the lower case of the ASCII letter at this offset; 0 past the end. */
  protected letterAt(at: number): number {
    if (at < this.end) {
      return this.bytes[at]! | 0x20;
    }
    this.#touchedEnd = true;
    return 0;
  }

  /** Returns the end of `'s`, `'d`, `'m`, `'t`, `'ll`, `'ve` or `'re`, or `at`. */
  protected contraction(at: number): number {
    if (this.letterAt(at) !== (APOSTROPHE | 0x20) || this.bytes[at] !== APOSTROPHE) {
      return at;
    }
    const first = this.letterAt(at + 1);
    if (first === 0x73 || first === 0x64 || first === 0x6d || first === 0x74) {
      return at + 2;
    }
    const second = first === 0x6c ? 0x6c : first === 0x76 || first === 0x72 ? 0x65 : -1;
    return second !== -1 && this.letterAt(at + 2) === second ? at + 3 : at;
  }

  protected numbers(start: number): number {
    let at = start;
    for (let count = 0; count < 3 && (this.classAt(at) & NUMBER) !== 0; count++) {
      at += this.width;
    }
    return at;
  }

  /** Returns the end of ` ?[^\s\p{L}\p{N}]+` and following newlines (and slashes), or -1. */
  protected symbols(start: number, slashesToo: boolean): number {
    const from = this.bytes[start] === 0x20 ? start + 1 : start;
    let at = this.run(from, SYMBOL);
    if (at === from) {
      return -1;
    }
    while ((this.classAt(at) & NEWLINE) !== 0 || (slashesToo && at < this.end && this.bytes[at] === SLASH)) {
      at++;
    }
    return at;
  }

  /**
   * Returns the end of white space: up to the last newline, otherwise without the last character,
   * which belongs to the next piece.
   */
  protected whiteSpace(start: number, wholeAtEnd: boolean): number {
    let at = start;
    let lastStart = start;
    let afterNewline = -1;
    for (;;) {
      const found = this.classAt(at);
      if ((found & WHITE) === 0) {
        break;
      }
      lastStart = at;
      at += this.width;
      if (found === NEWLINE) {
        afterNewline = at;
      }
    }
    if (wholeAtEnd && at === this.end) {
      return at;
    }
    if (afterNewline !== -1) {
      return afterNewline;
    }
    return at === this.end || lastStart === start ? at : lastStart;
  }

  #wideClass(at: number, first: number): number {
    const { bytes } = this;
    const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
    if (at + length > this.end) {
      this.#touchedEnd = true;
      this.width = this.end - at;
      return OTHER;
    }
    this.width = length;
    if (length === 2) {
      return classOf(((first & 0x1f) << 6) | (bytes[at + 1]! & 0x3f));
    }
    const middle = ((bytes[at + 1]! & 0x3f) << 6) | (bytes[at + 2]! & 0x3f);
    if (length === 3) {
      return classOf(((first & 0x0f) << 12) | middle);
    }
    const codePoint = ((first & 0x07) << 18) | (middle << 6) | (bytes[at + 3]! & 0x3f);
    return length === 4 && codePoint < 0x110000 ? classOf(codePoint) : OTHER;
  }
}

/** o200k_base and o200k_harmony: words end before a capital, and include a contraction. */
export class O200kSplitter extends TextSplitter {
  protected override piece(start: number): number {
    const first = this.classAt(start);
    const { width } = this;
    let found = -1;
    if ((first & PREFIX) !== 0) {
      found = this.#wordWithEnding(start + width);
    }
    if (found === -1 && (first & (BEGINS_WORD | ENDS_WORD)) !== 0) {
      found = this.#wordWithEnding(start);
    }
    if (found === -1 && (first & PREFIX) !== 0) {
      found = this.#capitals(start + width);
    }
    if (found === -1 && (first & BEGINS_WORD) !== 0) {
      found = this.#capitals(start);
    }
    if (found !== -1) {
      return this.contraction(found);
    }
    if ((first & NUMBER) !== 0) {
      return this.numbers(start);
    }
    found = this.symbols(start, true);
    return found === -1 ? this.whiteSpace(start, false) : found;
  }

  /** `[Lu Lt Lm Lo M]*[Ll Lm Lo M]+`, or -1. */
  #wordWithEnding(start: number): number {
    let at = start;
    let lastOfBoth = -1;
    for (;;) {
      const found = this.classAt(at);
      if ((found & BEGINS_WORD) === 0) {
        return (found & LOWER) !== 0 ? this.run(at, ENDS_WORD) : lastOfBoth;
      }
      at += this.width;
      if ((found & BOTH) !== 0) {
        lastOfBoth = at;
      }
    }
  }

  /**
   * `[Lu Lt Lm Lo M]+[Ll Lm Lo M]*`, or -1. The second part is empty if the form above did not
   * match.
   */
  #capitals(start: number): number {
    const at = this.run(start, BEGINS_WORD);
    return at === start ? -1 : at;
  }
}

/** cl100k_base: any run of letters is a word, and contractions are separate pieces. */
export class Cl100kSplitter extends TextSplitter {
  protected override piece(start: number): number {
    const contracted = this.contraction(start);
    if (contracted !== start) {
      return contracted;
    }
    const first = this.classAt(start);
    const from = (first & PREFIX) !== 0 ? start + this.width : start;
    const word = this.run(from, ANY_LETTER);
    if (word !== from) {
      return word;
    }
    if ((first & NUMBER) !== 0) {
      return this.numbers(start);
    }
    const found = this.symbols(start, false);
    return found === -1 ? this.whiteSpace(start, true) : found;
  }
}

function characterStart(bytes: Uint8Array, at: number): number {
  let start = at;
  while (start > at - 3 && (bytes[start]! & 0xc0) === 0x80) {
    start--;
  }
  return start;
}
