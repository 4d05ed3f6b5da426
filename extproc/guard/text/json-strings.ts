/**
 * Walks over the bytes of one JSON document and reports each string value with its path. Iterative
 * and resumable, so that a large document is read in slices of the event loop. Strict about the
 * structure of a document, because a lenient reader might see text where a client sees none.
 */

import { asciiText } from '../../json/unescape.ts';
import { KeyTexts } from './key-texts.ts';
import type { StringSpelling } from './string-units.ts';

/** Deeper documents are broken; tools and schemas need a few dozen levels. */
const MAX_DEPTH = 512;

/** Takes what the walker finds. The walker's `path`, `key` and `place` lead to the value. */
export interface JsonVisitor {
  /** A string value; its contents, still escaped, are [start, end) of the bytes. */
  string(start: number, end: number, spelling: StringSpelling): void;
  /** A number, `true`, `false` or `null`. */
  scalar?(start: number, end: number): void;
  /** The key of a member. Its value follows. */
  key?(start: number, end: number, spelling: StringSpelling): void;
  /** The beginning of an object or array, which is not yet part of the path. */
  enter?(at: number): void;
  /** The end of an object or array, which is no longer part of the path. */
  leave?(end: number): void;
}

type Expected = 'value' | 'value-or-end' | 'key' | 'key-or-end' | 'colon' | 'comma-or-end' | 'nothing';

/** What may follow a backslash. */
const ESCAPED = Uint8Array.from({ length: 256 }, (_, byte) =>
  '"\\/bfnrtu'.includes(String.fromCharCode(byte)) ? 1 : 0,
);

/** One step of a path: the key of a member, or the place of an element. */
export type PathStep = string | number;

/** The place of a value that is in no list. */
const NO_PLACE = -1;

/** Of all documents: their keys are mostly those of the APIs. */
const keyTexts = new KeyTexts();

export class JsonStrings {
  bytes: Uint8Array = new Uint8Array(0);
  /** How many objects and arrays are around the current value. */
  depth = 0;
  /** The document is not JSON, or it is too deep. */
  broken = false;
  readonly #visitor: JsonVisitor;
  #at = 0;
  #end = 0;
  #expected: Expected = 'value';
  /** The start of a string that continues in the next slice; -1: none. */
  #stringStart = -1;
  /** All bits of the bytes of this string so far. */
  #stringBits = 0;
  #hasEscapes = false;
  /** At each depth: the innermost key, and the place in the list. */
  readonly #keys: string[] = [''];
  readonly #places: number[] = [NO_PLACE];

  constructor(visitor: JsonVisitor) {
    this.#visitor = visitor;
  }

  /** Leads to the current value, from the root. */
  get path(): readonly PathStep[] {
    return Array.from({ length: this.depth }, (_, at) => {
      const place = this.#places[at + 1]!;
      return place === NO_PLACE ? this.#keys[at + 1]! : place;
    });
  }

  /** The key of the member that has the current value, or the list around the value. */
  get key(): string {
    return this.#keys[this.depth]!;
  }

  /** The place of the current value in its list; -1: it is in none. */
  get place(): number {
    return this.#places[this.depth]!;
  }

  /** Whether the current value is that of a member. */
  get isMember(): boolean {
    return this.depth > 0 && this.#places[this.depth] === NO_PLACE;
  }

  begin(bytes: Uint8Array, start: number, end: number): void {
    this.bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.depth = 0;
    this.broken = false;
    this.#expected = 'value';
    this.#stringStart = -1;
  }

  /** Walks over the whole document. Returns false if it is broken. */
  walk(bytes: Uint8Array, start: number, end: number): boolean {
    this.begin(bytes, start, end);
    while (this.step(Number.POSITIVE_INFINITY)) {}
    return !this.broken;
  }

  /** Walks about this many bytes further. Returns false at the end, and where it is broken. */
  step(limitBytes: number): boolean {
    const until = Math.min(this.#end, this.#at + limitBytes);
    const { bytes } = this;
    while (this.#at < until && !this.broken) {
      const byte = bytes[this.#at]!;
      if (this.#stringStart >= 0) {
        this.#continueString(until);
      } else if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) {
        this.#at++;
      } else if (byte === 0x22) {
        this.#beginString();
      } else if (byte === 0x7b || byte === 0x5b) {
        this.#enter(byte);
      } else if (byte === 0x7d || byte === 0x5d) {
        this.#leave(byte);
      } else if (byte === 0x2c) {
        this.#comma();
      } else if (byte === 0x3a) {
        this.#colon();
      } else {
        this.#scalar();
      }
    }
    if (this.#at < this.#end && !this.broken) {
      return true;
    }
    this.broken ||= this.#expected !== 'nothing';
    return false;
  }

  #beginString(): void {
    const expected = this.#expected;
    if (expected === 'colon' || expected === 'comma-or-end' || expected === 'nothing') {
      this.broken = true;
      return;
    }
    this.#at++;
    this.#stringStart = this.#at;
    this.#stringBits = 0;
    this.#hasEscapes = false;
  }

  #continueString(until: number): void {
    const { bytes } = this;
    let at = this.#at;
    let bits = this.#stringBits;
    while (at < until) {
      const byte = bytes[at]!;
      if (byte === 0x22) {
        this.#stringBits = bits;
        this.#endString(at);
        return;
      }
      if (byte === 0x5c) {
        this.broken ||= ESCAPED[bytes[at + 1]!] !== 1;
        this.#hasEscapes = true;
        at++;
      }
      bits |= byte;
      at++;
    }
    // An escape may reach past the slice.
    this.#at = at;
    this.#stringBits = bits;
    this.broken ||= at > this.#end;
  }

  #endString(end: number): void {
    const start = this.#stringStart;
    const spelling = this.#hasEscapes ? 'escaped' : this.#stringBits < 0x80 ? 'ascii' : 'utf8';
    this.#stringStart = -1;
    this.#at = end + 1;
    if (this.#expected === 'key' || this.#expected === 'key-or-end') {
      this.#keys[this.depth] = keyTexts.of(this.bytes, start, end, spelling === 'ascii');
      this.#expected = 'colon';
      this.#visitor.key?.(start, end, spelling);
      return;
    }
    this.#expected = this.#afterValue();
    this.#visitor.string(start, end, spelling);
  }

  #enter(byte: number): void {
    if ((this.#expected !== 'value' && this.#expected !== 'value-or-end') || this.depth === MAX_DEPTH) {
      this.broken = true;
      return;
    }
    this.#visitor.enter?.(this.#at);
    this.#at++;
    const { key } = this;
    this.depth++;
    if (byte === 0x7b) {
      this.#keys[this.depth] = '';
      this.#places[this.depth] = NO_PLACE;
      this.#expected = 'key-or-end';
    } else {
      this.#keys[this.depth] = key;
      this.#places[this.depth] = 0;
      this.#expected = 'value-or-end';
    }
  }

  #leave(byte: number): void {
    const expected = this.#expected;
    const inArray = this.place !== NO_PLACE;
    const mayEnd = expected === 'comma-or-end' || expected === (inArray ? 'value-or-end' : 'key-or-end');
    if (!mayEnd || this.depth === 0 || inArray !== (byte === 0x5d)) {
      this.broken = true;
      return;
    }
    this.#at++;
    this.depth--;
    this.#expected = this.#afterValue();
    this.#visitor.leave?.(this.#at);
  }

  #comma(): void {
    if (this.#expected !== 'comma-or-end' || this.depth === 0) {
      this.broken = true;
      return;
    }
    this.#at++;
    if (this.place === NO_PLACE) {
      this.#expected = 'key';
    } else {
      this.#places[this.depth]!++;
      this.#expected = 'value';
    }
  }

  #colon(): void {
    this.broken = this.#expected !== 'colon';
    this.#at++;
    this.#expected = 'value';
  }

  #scalar(): void {
    const expected = this.#expected;
    const start = this.#at;
    let at = start;
    // A scalar is short, so that one slice may end a little late.
    while (at < this.#end && isScalarByte(this.bytes[at]!)) {
      at++;
    }
    if ((expected !== 'value' && expected !== 'value-or-end') || !isScalar(this.bytes, start, at)) {
      this.broken = true;
      return;
    }
    this.#at = at;
    this.#expected = this.#afterValue();
    this.#visitor.scalar?.(start, at);
  }

  #afterValue(): Expected {
    return this.depth === 0 ? 'nothing' : 'comma-or-end';
  }
}

/** Digits, letters, `+`, `-` and `.`: numbers and literals. */
function isScalarByte(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    (byte >= 0x61 && byte <= 0x7a) ||
    byte === 0x2b ||
    byte === 0x2d ||
    byte === 0x2e ||
    byte === 0x45
  );
}

const LITERALS: ReadonlySet<string> = new Set(['true', 'false', 'null']);

/** Words that are no literals might be text for a client. */
function isScalar(bytes: Uint8Array, start: number, end: number): boolean {
  const first = bytes[start]!;
  if (end === start || first === 0x2b || first === 0x2e || first === 0x65 || first === 0x45) {
    return false;
  }
  if (first >= 0x61) {
    return end - start <= 5 && LITERALS.has(asciiText(bytes, start, end));
  }
  for (let at = start; at < end; at++) {
    if (bytes[at]! >= 0x61 && bytes[at] !== 0x65) {
      return false;
    }
  }
  return true;
}
