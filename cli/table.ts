import { printable } from './terminal/printable.ts';
import { columnsOf } from './terminal/text.ts';

/** A longer cell moves only the rest of its own row: no name spoils the table for the others. */
const MOST_COLUMNS = 64;

/** Returns the rows as aligned columns under their titles, safe for a terminal. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows.map((row) => row.map(printable))];
  const widths = head.map((_, column) =>
    lines.reduce((most, line) => Math.max(most, Math.min(MOST_COLUMNS, columnsOf(line[column]!))), 0),
  );
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell + ' '.repeat(Math.max(0, widths[column]! - columnsOf(cell))))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}
