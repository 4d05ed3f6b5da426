import { asciiText } from '../../json/unescape.ts';

/**
 * Returns a number as a reader knows it: `4.111111111111111e15` is the number of a card, too.
 * Numbers that a reader would round stay as they are written.
 */
export function numberUnits(bytes: Uint8Array, start: number, end: number): string {
  const text = asciiText(bytes, start, end);
  if (!/[.eE]/.test(text)) {
    return text;
  }
  const value = Number(text);
  return Number.isSafeInteger(value) ? String(value) : text;
}
