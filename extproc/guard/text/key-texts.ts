import { asciiText, unescapedText } from '../../json/unescape.ts';

/** Longer keys are no names that a reader knows. */
const MAX_KEY_BYTES = 256;

/** A power of two, and more than the keys of the APIs that are common. */
const SLOTS = 256;

/**
 * The keys of documents as strings. Remembers the last ones: documents repeat their keys, and a
 * new string for each would cost more than the rest of its member.
 */
export class KeyTexts {
  readonly #known: string[] = [];

  /** Returns the key; an empty string for one that is too long. */
  of(bytes: Uint8Array, start: number, end: number, isAscii: boolean): string {
    const length = end - start;
    if (!isAscii) {
      return length > MAX_KEY_BYTES ? '' : unescapedText(bytes, start, end);
    }
    if (length === 0 || length > MAX_KEY_BYTES) {
      return '';
    }
    const middle = bytes[start + (length >> 1)]!;
    const slot = (length * 7 + bytes[start]! + middle * 5 + bytes[end - 1]! * 3) & (SLOTS - 1);
    const known = this.#known[slot];
    if (known !== undefined && isSame(known, bytes, start, length)) {
      return known;
    }
    const text = asciiText(bytes, start, end);
    this.#known[slot] = text;
    return text;
  }
}

function isSame(known: string, bytes: Uint8Array, start: number, length: number): boolean {
  if (known.length !== length) {
    return false;
  }
  for (let at = 0; at < length; at++) {
    if (known.charCodeAt(at) !== bytes[start + at]) {
      return false;
    }
  }
  return true;
}
