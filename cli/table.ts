import { columnsOf, printable } from './terminal/text.ts';

/** Returns the rows as aligned columns under their titles, safe for a terminal. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows.map((row) => row.map(printable))];
  const widths = head.map((_, column) => lines.reduce((most, line) => Math.max(most, columnsOf(line[column]!)), 0));
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell + ' '.repeat(widths[column]! - columnsOf(cell)))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}
