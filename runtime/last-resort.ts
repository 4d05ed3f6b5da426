/** Logs an uncaught exception and ends the process, because its state is unknown. */
import { writeSync } from 'node:fs';
import { createLog } from './log.ts';

/**
 * Logs an uncaught exception or rejection and exits with code 1 at once. Writes nothing else: the
 * journal stays as it is, and the next start charges open holds in full.
 */
export function exitOnUncaught(keys: Readonly<Record<string, string>>): void {
  process.on('uncaughtException', (error) => {
    try {
      // Synchronously, because pending writes are lost at `exit`.
      const destination = { write: (line: string) => void writeSync(2, line) };
      createLog({ level: 'fatal', keys, destination }).fatal({ err: error }, 'internal error; exiting');
    } finally {
      process.exit(1);
    }
  });
}
