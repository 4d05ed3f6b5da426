/**
 * Walks over the bytes of one JSON document and reports each string value with its path. Iterative
 * and resumable, so that a large document is read in slices of the event loop. Strict about the
 * structure of a document, because a lenient reader might see text where a client sees none.
 */

import { asciiText, unescapedText } from '../../json/unescape.ts';

/** Deeper documents are broken; tools and schemas need a few dozen levels. */
const MAX_DEPTH = 512;

/** Takes what the walker finds. The walker's `path` leads to the value. */
export interface JsonVisitor {
  /** A string value; its contents, still escaped, are [start, end) of the bytes. */
  string(start: number, end: number): void;
  /** A number, `true`, `false` or `null`. */
  scalar?(start: number, end: number): void;
  /** The key of a member. Its value follows. */
  key?(start: number, end: number): void;
  /** The beginning of an object or array, which is not yet part of the path. */
  enter?(at: number): void;
  /** The end of an object or array, which is no longer part of the path. */
  leave?(end: number): void;
}

type Expected = 'value' | 'value-or-end' | 'key' | 'key-or-end' | 'colon' | 'comma-or-end' | 'nothing';

/** What may follow a backslash. */
const ESCAPED: ReadonlySet<number> = new Set(Buffer.from('"\\/bfnrtu'));

/** One step of a path: the key of a member, or the place of an element. */
export type PathStep = string | number;

export class JsonStrings {
  bytes: Uint8Array = new Uint8Array(0);
  /** Leads to the current value, from the root. */
  readonly path: PathStep[] = [];
  /** The document is not JSON, or it is too deep. */
  broken = false;
  readonly #visitor: JsonVisitor;
  #at = 0;
  #end = 0;
  #expected: Expected = 'value';
  /** The start of a string that continues in the next slice; -1: none. */
  #stringStart = -1;

  constructor(visitor: JsonVisitor) {
    this.#visitor = visitor;
  }

  begin(bytes: Uint8Array, start: number, end: number): void {
    this.bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.path.length = 0;
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
  }

  #continueString(until: number): void {
    const { bytes } = this;
    let at = this.#at;
    while (at < until) {
      const byte = bytes[at]!;
      if (byte === 0x22) {
        this.#endString(at);
        return;
      }
      if (byte === 0x5c) {
        this.broken ||= !ESCAPED.has(bytes[at + 1]!);
        at++;
      }
      at++;
    }
    // An escape may reach past the slice.
    this.#at = at;
    this.broken ||= at > this.#end;
  }

  #endString(end: number): void {
    const start = this.#stringStart;
    this.#stringStart = -1;
    this.#at = end + 1;
    if (this.#expected === 'key' || this.#expected === 'key-or-end') {
      this.path[this.path.length - 1] = keyText(this.bytes, start, end);
      this.#expected = 'colon';
      this.#visitor.key?.(start, end);
      return;
    }
    this.#expected = this.#afterValue();
    this.#visitor.string(start, end);
  }

  #enter(byte: number): void {
    if ((this.#expected !== 'value' && this.#expected !== 'value-or-end') || this.path.length === MAX_DEPTH) {
      this.broken = true;
      return;
    }
    this.#visitor.enter?.(this.#at);
    this.#at++;
    if (byte === 0x7b) {
      this.path.push('');
      this.#expected = 'key-or-end';
    } else {
      this.path.push(0);
      this.#expected = 'value-or-end';
    }
  }

  #leave(byte: number): void {
    const expected = this.#expected;
    const inArray = typeof this.path.at(-1) === 'number';
    const mayEnd = expected === 'comma-or-end' || expected === (inArray ? 'value-or-end' : 'key-or-end');
    if (!mayEnd || inArray !== (byte === 0x5d)) {
      this.broken = true;
      return;
    }
    this.#at++;
    this.path.pop();
    this.#expected = this.#afterValue();
    this.#visitor.leave?.(this.#at);
  }

  #comma(): void {
    const last = this.path.at(-1);
    if (this.#expected !== 'comma-or-end' || last === undefined) {
      this.broken = true;
      return;
    }
    this.#at++;
    if (typeof last === 'number') {
      this.path[this.path.length - 1] = last + 1;
      this.#expected = 'value';
    } else {
      this.#expected = 'key';
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
    return this.path.length === 0 ? 'nothing' : 'comma-or-end';
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

/** Longer keys are no names that a reader knows. */
const MAX_KEY_BYTES = 256;

function keyText(bytes: Uint8Array, start: number, end: number): string {
  if (end - start > MAX_KEY_BYTES) {
    return '';
  }
  let text = '';
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!;
    if (byte === 0x5c || byte >= 0x80) {
      return unescapedText(bytes, start, end);
    }
    text += String.fromCharCode(byte);
  }
  return text;
}
