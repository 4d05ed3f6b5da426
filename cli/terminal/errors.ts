/** What a command says on stderr. */
import { printable, printableLines } from './printable.ts';

/** Writes one line with the name of the program before it. */
export function writeError(message: string): void {
  process.stderr.write(`tallygate: ${printable(message)}\n`);
}

/** Writes a message that may have several lines of its own. */
export function writeErrorLines(message: string): void {
  process.stderr.write(`tallygate: ${printableLines(message)}\n`);
}
