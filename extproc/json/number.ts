import { asciiText } from './unescape.ts';

// Positions within a number. JSON allows the end after ZERO, INTEGER, FRACTION and EXPONENT.
const MINUS = 0;
const ZERO = 1;
const INTEGER = 2;
const POINT = 3;
const FRACTION = 4;
const E = 5;
const SIGN = 6;
const EXPONENT = 7;

/** No transition: the number ends before this byte, or is invalid. */
export const NUMBER_ENDS = 255;

const DIGITS = '0123456789';

/** The next position, by position * 256 + byte. */
export const NUMBER_NEXT = ((): Uint8Array => {
  const table = new Uint8Array(8 * 256).fill(NUMBER_ENDS);
  const allow = (from: readonly number[], chars: string, to: number): void => {
    for (const place of from) {
      for (const char of chars) {
        table[place * 256 + char.charCodeAt(0)] = to;
      }
    }
  };
  allow([MINUS], '0', ZERO);
  allow([MINUS], '123456789', INTEGER);
  allow([INTEGER], DIGITS, INTEGER);
  allow([ZERO, INTEGER], '.', POINT);
  allow([POINT, FRACTION], DIGITS, FRACTION);
  allow([ZERO, INTEGER, FRACTION], 'eE', E);
  allow([E], '+-', SIGN);
  allow([E, SIGN, EXPONENT], DIGITS, EXPONENT);
  return table;
})();

/** Returns the position after a number's first byte. */
export function numberBegins(byte: number): number {
  return byte === 0x2d ? MINUS : byte === 0x30 ? ZERO : INTEGER;
}

export function numberMayEnd(place: number): boolean {
  return place === ZERO || place === INTEGER || place === FRACTION || place === EXPONENT;
}

export function numberValue(bytes: Uint8Array, start: number, end: number): number {
  // Up to 15 digits fit a double exactly, so token counts need no string.
  if (end - start <= 15) {
    let value = 0;
    let at = start;
    while (at < end && bytes[at]! >= 0x30 && bytes[at]! <= 0x39) {
      value = value * 10 + bytes[at++]! - 0x30;
    }
    if (at === end) {
      return value;
    }
  }
  return Number(asciiText(bytes, start, end));
}
