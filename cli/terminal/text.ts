/** Printable text in the columns of a terminal. */
import { styleText } from 'node:util';
import stringWidth from 'string-width';

const ASCII = /^[ -~]*$/;

/** Returns the columns that a printable text takes. */
export function columnsOf(text: string): number {
  return ASCII.test(text) ? text.length : stringWidth(text);
}

/** Returns the columns of a printable text, at most `most`: measuring a long text is slow. */
export function columnsUpTo(text: string, most: number): number {
  const isLong = columnsOf(text.slice(0, 2 * most)) >= most;
  return isLong ? most : Math.min(most, columnsOf(text));
}

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** Returns the beginning of a printable text that fits into the columns, with a sign where cut. */
export function fitted(text: string, columns: number): string {
  // No character of UTF-16 takes less than a column, but for marks and the halves of a pair.
  const start = text.length > 8 * columns ? text.slice(0, 8 * columns) : text;
  if (start === text && columnsOf(text) <= columns) {
    return text;
  }
  if (columns <= 0) {
    return '';
  }
  let [fit, taken] = ['', 0];
  for (const { segment } of graphemes.segment(start)) {
    taken += columnsOf(segment);
    if (taken > columns - 1) {
      break;
    }
    fit += segment;
  }
  return `${fit}…`;
}

/** Returns a printable text in exactly these columns. */
export function padded(text: string, columns: number, align: 'start' | 'end' = 'start'): string {
  const fit = fitted(text, columns);
  const space = ' '.repeat(Math.max(0, columns - columnsOf(fit)));
  return align === 'start' ? fit + space : space + fit;
}

export type TextStyle = Parameters<typeof styleText>[0];

/** A part of a line. */
export interface StyledText {
  readonly text: string;
  readonly style?: TextStyle;
}

/** Returns the parts as one line that fits into the columns. */
export function lineOf(parts: readonly StyledText[], columns: number, colored: boolean): string {
  let line = '';
  let left = columns;
  for (const { text, style } of parts) {
    const fit = fitted(text, left);
    line += colored && style !== undefined ? styleText(style, fit, { validateStream: false }) : fit;
    left -= columnsOf(fit);
    if (fit !== text) {
      break;
    }
  }
  return line;
}

/** Whether the stream is a terminal with colors; NO_COLOR says no. */
export function hasColors(stream: { readonly isTTY?: boolean; hasColors?: () => boolean }): boolean {
  return stream.isTTY === true && stream.hasColors?.() === true;
}
