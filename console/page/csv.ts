/** Writes CSV as RFC 4180 defines it. */

/** Returns one line of CSV. A spreadsheet shows a leading operator, and does not run it. */
export function csvLine(cells: readonly (string | number)[]): string {
  return `${cells.map((cell) => (typeof cell === 'number' ? String(cell) : csvField(cell))).join()}\r\n`;
}

function csvField(text: string): string {
  const safe = /^\s*[=+\-@＝＋－＠\t\r\n]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
