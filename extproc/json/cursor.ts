/**
 * A forward reader of one JSON document that is complete in memory, such as the data of a stream
 * event. The cursor walks over bytes and returns positions; values are decoded only on demand.
 * Requests and unary answers, which arrive in pieces, are read by `JsonTokenizer` instead. Broken
 * JSON sets `broken` and ends every loop; depth and time are bounded by the document's length.
 */
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;

/** Keys and short values have a few dozen bytes; longer ones are of no use to a reader. */
const MAX_DECODED_BYTES = 1024;

export class JsonCursor {
  bytes: Uint8Array = new Uint8Array(0);
  at = 0;
  broken = false;
  /** The last member's key, and the position of its opening quote. */
  key = '';
  keyStart = 0;
  /** The contents of the last string (between its quotes), after `string()`. */
  textStart = 0;
  textEnd = 0;
  /** The end of the value that `skip` skipped last. */
  valueEnd = 0;
  #end = 0;

  begin(bytes: Uint8Array, start: number, end: number): void {
    this.bytes = bytes;
    this.at = start;
    this.#end = end;
    this.broken = false;
    this.#space();
  }

  /** Enters an object. Skips any other value and returns false. */
  enterObject(): boolean {
    return this.#enter(0x7b);
  }

  enterArray(): boolean {
    return this.#enter(0x5b);
  }

  /**
   * Moves to the next member of the entered object: reads its key and stops at its value. Returns
   * false past the object's end.
   */
  nextMember(): boolean {
    if (!this.#next(0x7d)) {
      return false;
    }
    this.keyStart = this.at;
    if (!this.string()) {
      return this.#break();
    }
    this.key = keyText(this.bytes, this.textStart, this.textEnd);
    if (this.bytes[this.at] !== COLON) {
      return this.#break();
    }
    this.at++;
    this.#space();
    return true;
  }

  /** Moves to the next element of the entered array. */
  nextElement(): boolean {
    return this.#next(0x5d);
  }

  /** Reads a string. Skips any other value and returns false. */
  string(): boolean {
    const bytes = this.bytes;
    if (bytes[this.at] !== QUOTE) {
      this.skip();
      return false;
    }
    const end = this.#end;
    let at = this.at + 1;
    this.textStart = at;
    for (;;) {
      if (at >= end) {
        return this.#break();
      }
      const byte = bytes[at];
      if (byte === QUOTE) {
        break;
      }
      at += byte === BACKSLASH ? 2 : 1;
    }
    this.textEnd = at;
    this.at = at + 1;
    this.#space();
    return true;
  }

  /** Returns the last string, decoded; empty if it is too long or broken. */
  decoded(): string {
    return decodedString(this.bytes, this.textStart, this.textEnd);
  }

  /** Reads a number. Skips any other value and returns undefined. */
  number(): number | undefined {
    const bytes = this.bytes;
    const first = bytes[this.at];
    if (first !== 0x2d && !(first !== undefined && first >= 0x30 && first <= 0x39)) {
      this.skip();
      return undefined;
    }
    const start = this.at;
    let at = start;
    while (at < this.#end && isNumberByte(bytes[at] as number)) {
      at++;
    }
    this.textStart = start;
    this.textEnd = at;
    this.at = at;
    this.#space();
    const value = Number(latin1(bytes, start, Math.min(at, start + 40)));
    return Number.isFinite(value) ? value : undefined;
  }

  /** Returns whether the value here is `null`, without moving. */
  isNull(): boolean {
    return this.bytes[this.at] === 0x6e;
  }

  isString(): boolean {
    return this.bytes[this.at] === QUOTE;
  }

  isArray(): boolean {
    return this.bytes[this.at] === 0x5b;
  }

  isObject(): boolean {
    return this.bytes[this.at] === 0x7b;
  }

  /** Skips any value; it ends at `valueEnd`. */
  skip(): void {
    const bytes = this.bytes;
    const end = this.#end;
    let at = this.at;
    let depth = 0;
    do {
      if (at >= end) {
        this.#break();
        return;
      }
      const byte = bytes[at] as number;
      if (byte === QUOTE) {
        at++;
        while (at < end && bytes[at] !== QUOTE) {
          at += bytes[at] === BACKSLASH ? 2 : 1;
        }
        at++;
      } else if (byte === 0x7b || byte === 0x5b) {
        depth++;
        at++;
      } else if (byte === 0x7d || byte === 0x5d) {
        depth--;
        at++;
        if (depth < 0) {
          this.#break();
          return;
        }
      } else if (depth > 0) {
        at++;
      } else {
        const start = at;
        while (at < end && isScalarByte(bytes[at] as number)) {
          at++;
        }
        if (at === start) {
          this.#break();
          return;
        }
      }
    } while (depth > 0);
    if (at > end) {
      this.#break();
      return;
    }
    this.valueEnd = at;
    this.at = at;
    this.#space();
  }

  #enter(open: number): boolean {
    if (this.bytes[this.at] !== open || this.at >= this.#end) {
      this.skip();
      return false;
    }
    this.at++;
    this.#space();
    return true;
  }

  #next(close: number): boolean {
    if (this.broken) {
      return false;
    }
    if (this.at >= this.#end) {
      return this.#break();
    }
    let byte = this.bytes[this.at];
    if (byte === COMMA) {
      this.at++;
      this.#space();
      byte = this.bytes[this.at];
    }
    if (byte === close) {
      this.at++;
      this.#space();
      return false;
    }
    return true;
  }

  #space(): void {
    const bytes = this.bytes;
    let at = this.at;
    while (at < this.#end && isSpace(bytes[at] as number)) {
      at++;
    }
    this.at = at;
  }

  #break(): false {
    this.broken = true;
    this.at = this.#end;
    return false;
  }
}

const KEY_SLOTS = 64;
const MAX_RECENT_CHARACTERS = 32;

/** The last key of each slot: the same keys come with each event. */
const recentKeys: string[] = new Array(KEY_SLOTS).fill('');

/** Returns the decoded key. Makes no string of a key without escapes that came lately. */
function keyText(bytes: Uint8Array, start: number, end: number): string {
  const length = end - start;
  const slot = (length + 5 * bytes[start]! + 3 * bytes[end - 1]!) % KEY_SLOTS;
  const recent = recentKeys[slot]!;
  if (recent.length === length && isSpelled(recent, bytes, start)) {
    return recent;
  }
  const key = decodedString(bytes, start, end);
  // A key with escapes is shorter than its bytes, and must not stand for other bytes.
  if (key.length === length && length <= MAX_RECENT_CHARACTERS) {
    recentKeys[slot] = key;
  }
  return key;
}

/** Whether each character of a text is one byte. */
function isSpelled(text: string, bytes: Uint8Array, start: number): boolean {
  for (let at = 0; at < text.length; at++) {
    if (text.charCodeAt(at) !== bytes[start + at]) {
      return false;
    }
  }
  return true;
}

/** Returns the decoded contents of a JSON string; empty if it is too long or broken. */
export function decodedString(bytes: Uint8Array, start: number, end: number): string {
  if (end - start > MAX_DECODED_BYTES) {
    return '';
  }
  let text = '';
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    if (byte >= 0x80 || byte === BACKSLASH) {
      return decodedSlowly(bytes, start, end);
    }
    text += String.fromCharCode(byte);
  }
  return text;
}

function decodedSlowly(bytes: Uint8Array, start: number, end: number): string {
  try {
    return JSON.parse(`"${Buffer.from(bytes.subarray(start, end)).toString()}"`) as string;
  } catch {
    return '';
  }
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  let text = '';
  for (let at = start; at < end; at++) {
    text += String.fromCharCode(bytes[at] as number);
  }
  return text;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function isNumberByte(byte: number): boolean {
  return (byte >= 0x30 && byte <= 0x39) || byte === 0x2e || byte === 0x2d || byte === 0x2b || (byte | 0x20) === 0x65;
}

/** Skips a number, `true`, `false` or `null`. */
function isScalarByte(byte: number): boolean {
  return isNumberByte(byte) || (byte >= 0x61 && byte <= 0x7a);
}
