/**
 * The contents of a JSON string as UTF-16 units, as a client decodes them, and the way back from a
 * unit to its bytes. Halves of a surrogate pair stay units of their own, because the other half may
 * be in the next event of a stream.
 */
import { asciiText, text } from '../../json/unescape.ts';

const REPLACEMENT_CHARACTER = 0xfffd;

/** What raw contents need to be decoded: nothing, UTF-8, or escapes too. */
export type StringSpelling = 'ascii' | 'utf8' | 'escaped';

/** Contents of up to this length are decoded without a new buffer. */
const SCRATCH_BYTES = 32 * 1024;
const scratch = new Uint8Array(SCRATCH_BYTES);

/** Returns the text of raw contents. */
export function unitsOf(raw: Uint8Array, start: number, end: number): string {
  let at = start;
  let all = 0;
  while (at < end && raw[at] !== 0x5c) {
    all |= raw[at]!;
    at++;
  }
  return spelledUnits(raw, start, end, at < end ? 'escaped' : all < 0x80 ? 'ascii' : 'utf8');
}

/** Returns the text of raw contents, of which the spelling is known. */
export function spelledUnits(raw: Uint8Array, start: number, end: number, spelling: StringSpelling): string {
  if (spelling === 'ascii') {
    return asciiText(raw, start, end);
  }
  if (spelling === 'utf8') {
    return text(raw, start, end);
  }
  if (end - start <= SCRATCH_BYTES) {
    const length = unescapeAscii(raw, start, end);
    if (length >= 0) {
      return asciiText(scratch, 0, length);
    }
  }
  return decodedFrom(raw, start, end);
}

/**
 * Decodes ASCII with simple escapes, as most texts of prompts and code are, and returns the length;
 * -1 for other contents.
 */
function unescapeAscii(raw: Uint8Array, start: number, end: number): number {
  let to = 0;
  for (let at = start; at < end; at++) {
    let byte = raw[at]!;
    if (byte === 0x5c) {
      at++;
      byte = at < end ? SIMPLE[raw[at]!]! : 0;
      if (byte === 0) {
        return -1;
      }
    } else if (byte >= 0x80) {
      return -1;
    }
    scratch[to] = byte;
    to++;
  }
  return to;
}

function decodedFrom(raw: Uint8Array, start: number, end: number): string {
  let decoded = '';
  for (let at = start; at < end; ) {
    let until = at;
    while (until < end && raw[until] !== 0x5c) {
      until++;
    }
    if (until > at) {
      decoded += text(raw, at, until);
    }
    if (until < end) {
      decoded += String.fromCharCode(escapedUnit(raw, until, end));
    }
    at = until < end ? until + escapeLength(raw, until, end) : end;
  }
  return decoded;
}

/** Returns the offset in the raw contents of the unit with this index. */
export function offsetOfUnit(raw: Uint8Array, start: number, end: number, index: number): number {
  let at = start;
  let left = index;
  while (left > 0 && at < end) {
    const byte = raw[at]!;
    if (byte === 0x5c) {
      at += escapeLength(raw, at, end);
      left--;
    } else if (byte < 0x80) {
      at++;
      left--;
    } else {
      const length = sequenceLength(raw, at, end);
      at += length;
      left -= length === 4 ? 2 : 1;
    }
  }
  return Math.min(at, end);
}

/** Returns the number of bytes of the escape at `at`; one that is broken or cut off ends early. */
function escapeLength(raw: Uint8Array, at: number, end: number): number {
  const length = raw[at + 1] === 0x75 && isHex(raw, at + 2, Math.min(at + 6, end)) ? 6 : 2;
  return Math.min(length, end - at);
}

function isHex(raw: Uint8Array, start: number, end: number): boolean {
  if (end - start < 4) {
    return false;
  }
  for (let at = start; at < end; at++) {
    if (Number.isNaN(hexDigit(raw[at]!))) {
      return false;
    }
  }
  return true;
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) {
    return byte - 0x30;
  }
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : Number.NaN;
}

const SIMPLE_ESCAPES: Readonly<Record<string, number>> = { b: 0x08, f: 0x0c, n: 0x0a, r: 0x0d, t: 0x09 };

/** The character that a letter after a backslash stands for; 0: none of ASCII. */
const SIMPLE = Uint8Array.from({ length: 256 }, (_, byte) => {
  const letter = String.fromCharCode(byte);
  return '"\\/'.includes(letter) ? byte : (SIMPLE_ESCAPES[letter] ?? 0);
});

function escapedUnit(raw: Uint8Array, at: number, end: number): number {
  const length = escapeLength(raw, at, end);
  if (length === 6) {
    let unit = 0;
    for (let digit = at + 2; digit < at + 6; digit++) {
      unit = unit * 16 + hexDigit(raw[digit]!);
    }
    return unit;
  }
  const letter = length === 2 ? raw[at + 1]! : REPLACEMENT_CHARACTER;
  return SIMPLE_ESCAPES[String.fromCharCode(letter)] ?? letter;
}

/**
 * Returns the number of bytes of a UTF-8 sequence. What is no sequence is replaced by one character
 * for its longest part that could begin one, as decoders do
 * (https://encoding.spec.whatwg.org/#utf-8-decoder).
 */
function sequenceLength(raw: Uint8Array, at: number, end: number): number {
  const first = raw[at]!;
  const wanted = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4) {
    return 1;
  }
  for (let next = 1; next < wanted; next++) {
    const byte = at + next < end ? raw[at + next]! : 0;
    if (byte < leastSecond(first, next) || byte > greatestSecond(first, next)) {
      return next;
    }
  }
  return wanted;
}

function leastSecond(first: number, place: number): number {
  if (place > 1) {
    return 0x80;
  }
  return first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
}

function greatestSecond(first: number, place: number): number {
  if (place > 1) {
    return 0xbf;
  }
  return first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
}

/** Returns text as the contents of a JSON string. */
export function escapedUnits(value: string): string {
  return JSON.stringify(value).slice(1, -1);
}

/** Returns where a window of contents may end: not within an escape or a character. */
export function windowEnd(raw: Uint8Array, at: number, end: number, windowBytes: number): number {
  let until = at + windowBytes;
  if (until >= end) {
    return end;
  }
  // An escape has at most 6 bytes, one with a surrogate pair 12, a character at most 4.
  const least = until - 12;
  for (let place = least; place < until; place++) {
    if (raw[place] === 0x5c) {
      return isEscaped(raw, at, place) ? place - 1 : place;
    }
  }
  while (until > least && (raw[until]! & 0xc0) === 0x80) {
    until--;
  }
  return until;
}

/** Whether the character is the second one of an escape. */
function isEscaped(raw: Uint8Array, start: number, at: number): boolean {
  let backslashes = 0;
  for (let before = at - 1; before >= start && raw[before] === 0x5c; before--) {
    backslashes++;
  }
  return backslashes % 2 === 1;
}
