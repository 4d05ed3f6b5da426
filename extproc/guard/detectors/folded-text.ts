import { DROPPED, EXPANDED, expansionOf, foldOf, foldOfAstral, OTHER } from './character-folds.ts';
import { type Escape, readEscape } from './escapes.ts';

/** What `at` returns after the end of the text. */
export const END = 0xff;

/** Units folded at a time. */
const BLOCK = 1024;

const encoder = new TextEncoder();

/** `&`, `\\` and `%`. */
const ESCAPE_SIGNS = [0x26, 0x5c, 0x25];

/**
 * A text as recognizers see it: one code a character, folded to ASCII where the character stands
 * for an ASCII one, without invisible characters and escapes. Folds on demand, so that a slice of a
 * long text costs what the slice is long.
 */
export class FoldedText {
  codes: Uint8Array = new Uint8Array(2 * BLOCK);
  #buffer = Buffer.from(this.codes.buffer);
  /** Codes folded so far. */
  length = 0;
  /** Whether `at` was asked for a code after the end: the answer depends on what follows. */
  touchedEnd = false;
  #text = '';
  /** Where `codes` begins in the text. */
  #base = 0;
  /** Units of the text folded so far. */
  #next = 0;
  /** Where the text ends in an unfinished escape or surrogate pair, or its length. */
  #end = 0;
  /** Whether each code so far is one unit; the arrays below are valid only if not. */
  #plain = true;
  #starts = new Int32Array(0);
  #ends = new Int32Array(0);
  readonly #escape: Escape = { width: 0, codePoint: 0 };

  /** Starts with a text, from `base`. */
  begin(text: string, base: number): void {
    this.#text = text;
    this.#base = base;
    this.#next = base;
    this.#end = text.length;
    this.#plain = true;
    this.length = 0;
  }

  /** Returns the code at an index, OTHER before the start, and END after the end. */
  at(index: number): number {
    if (index < this.length) {
      return index < 0 ? OTHER : this.codes[index]!;
    }
    if (this.#fold(index)) {
      return this.codes[index]!;
    }
    this.touchedEnd = true;
    return END;
  }

  /** Returns whether there is a code at an index; does not count as a look at it. */
  has(index: number): boolean {
    return index < this.length || this.#fold(index);
  }

  /** Returns the codes from `start` to `end`, which are folded already, as a string. */
  latin1(start: number, end: number): string {
    return this.#buffer.toString('latin1', start, end);
  }

  /** Returns where in the text the code at an index begins; for `length`, where the text ends. */
  startOf(index: number): number {
    if (index >= this.length) {
      return this.#end;
    }
    return this.#plain ? this.#base + index : this.#starts[index]!;
  }

  /** Returns where in the text the code at an index ends. */
  endOf(index: number): number {
    return this.#plain ? this.#base + index + 1 : this.#ends[index]!;
  }

  /** Returns the index of the first code that begins at or after an offset of the text. */
  indexOf(offset: number): number {
    while (this.#next < offset && this.#fold(this.length)) {
      // Folds one more block.
    }
    if (this.#plain) {
      return Math.min(Math.max(0, offset - this.#base), this.length);
    }
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#starts[middle]! < offset) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  /** Folds until there is a code at an index; returns whether there is one. */
  #fold(index: number): boolean {
    while (this.length <= index && this.#next < this.#end) {
      this.#foldBlock(Math.min(this.#next + BLOCK, this.#end));
    }
    return index < this.length;
  }

  #foldBlock(until: number): void {
    const text = this.#text;
    // An expansion has up to four codes.
    this.#reserve(this.length + 4 * (until - this.#next));
    if (this.#foldAscii(until)) {
      return;
    }
    const { codes } = this;
    let { length } = this;
    let next = this.#next;
    const plain = this.#plain;
    while (next < until) {
      const unit = text.charCodeAt(next);
      if (unit > 0x7f || unit === 0x26 || unit === 0x5c || unit === 0x25) {
        this.length = length;
        const after = this.#foldSpecial(unit, next);
        if (after === 0) {
          this.#end = next;
          break;
        }
        length = this.length;
        next = after;
        if (plain !== this.#plain) {
          break;
        }
      } else {
        if (!plain) {
          this.#starts[length] = next;
          this.#ends[length] = next + 1;
        }
        codes[length] = unit;
        length += 1;
        next += 1;
      }
    }
    this.length = length;
    this.#next = next;
  }

  /** Folds until an offset if everything up to there is ASCII and no escape. */
  #foldAscii(until: number): boolean {
    const next = this.#next;
    const units = until - next;
    const end = this.length + units;
    const block = this.codes.subarray(this.length, end);
    const { read, written } = encoder.encodeInto(this.#text.slice(next, until), block);
    if (read !== units || written !== units) {
      return false;
    }
    for (const sign of ESCAPE_SIGNS) {
      for (let at = block.indexOf(sign); at >= 0; at = block.indexOf(sign, at + 1)) {
        readEscape(this.#text, next + at, this.#escape);
        if (this.#escape.width !== 0) {
          return false;
        }
      }
    }
    if (!this.#plain) {
      for (let index = 0; index < units; index += 1) {
        this.#starts[this.length + index] = next + index;
        this.#ends[this.length + index] = next + index + 1;
      }
    }
    this.length = end;
    this.#next = until;
    return true;
  }

  /** Folds a unit that is not simply ASCII. Returns the next offset; 0 if more text is needed. */
  #foldSpecial(unit: number, at: number): number {
    if (unit <= 0x7f) {
      readEscape(this.#text, at, this.#escape);
      const { width, codePoint } = this.#escape;
      if (width > 0) {
        this.#addCodePoint(codePoint, at, at + width);
        return at + width;
      }
      if (width === 0) {
        this.#add(unit, at, at + 1);
      }
      return width === 0 ? at + 1 : 0;
    }
    if (unit >= 0xd800 && unit < 0xdc00) {
      if (at + 1 === this.#text.length) {
        return 0;
      }
      const codePoint = this.#text.codePointAt(at)!;
      const after = codePoint > 0xffff ? at + 2 : at + 1;
      this.#addCodePoint(codePoint, at, after);
      return after;
    }
    this.#addCodePoint(unit, at, at + 1);
    return at + 1;
  }

  #addCodePoint(codePoint: number, start: number, end: number): void {
    const fold = codePoint > 0xffff ? foldOfAstral(codePoint) : foldOf(codePoint);
    if (fold === DROPPED) {
      this.#leavePlain();
    } else if (fold === EXPANDED) {
      const codes = expansionOf(codePoint);
      for (let index = 0; index < codes.length; index += 1) {
        this.#add(codes.charCodeAt(index), start, end);
      }
    } else {
      this.#add(fold, start, end);
    }
  }

  #add(code: number, start: number, end: number): void {
    if (this.#plain && (start !== this.#base + this.length || end !== start + 1)) {
      this.#leavePlain();
    }
    if (!this.#plain) {
      this.#starts[this.length] = start;
      this.#ends[this.length] = end;
    }
    this.codes[this.length] = code;
    this.length += 1;
  }

  /** Begins to record the offsets of each code. */
  #leavePlain(): void {
    if (!this.#plain) {
      return;
    }
    this.#plain = false;
    if (this.#starts.length < this.codes.length) {
      this.#starts = new Int32Array(this.codes.length);
      this.#ends = new Int32Array(this.codes.length);
    }
    for (let index = 0; index < this.length; index += 1) {
      this.#starts[index] = this.#base + index;
      this.#ends[index] = this.#base + index + 1;
    }
  }

  #reserve(length: number): void {
    if (length <= this.codes.length) {
      return;
    }
    const codes = new Uint8Array(2 * length);
    codes.set(this.codes.subarray(0, this.length));
    this.codes = codes;
    this.#buffer = Buffer.from(codes.buffer);
    if (!this.#plain) {
      const starts = new Int32Array(2 * length);
      starts.set(this.#starts.subarray(0, this.length));
      const ends = new Int32Array(2 * length);
      ends.set(this.#ends.subarray(0, this.length));
      this.#starts = starts;
      this.#ends = ends;
    }
  }
}
