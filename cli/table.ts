import { printable } from './terminal/printable.ts';
import { columnsUpTo } from './terminal/text.ts';

/** A longer cell moves only the rest of its own row: no name spoils the table for the others. */
const MOST_COLUMNS = 64;

/** Returns the rows as aligned columns under their titles, safe for a terminal. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows.map((row) => row.map(printable))];
  const taken = lines.map((line) => line.map((cell) => columnsUpTo(cell, MOST_COLUMNS)));
  const widths = head.map((_, column) => taken.reduce((most, row) => Math.max(most, row[column]!), 0));
  return lines
    .map((line, row) =>
      line
        .map((cell, column) => cell + ' '.repeat(widths[column]! - taken[row]![column]!))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}
