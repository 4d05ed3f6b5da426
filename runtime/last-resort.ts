/** What is left to do when an exception has reached nobody: say so, and end the process before it does more with a state that nobody knows. */
import { writeSync } from 'node:fs';
import { createLog } from './log.ts';

/**
 * Logs an exception that nobody caught (a rejection, too), and exits with code 1 at once. Nothing is written down on the way out: what the process had
 * promised stays in its journal as it was, and the next start charges open holds in full.
 */
export function exitOnUncaught(keys: Readonly<Record<string, string>>): void {
  process.on('uncaughtException', (error) => {
    try {
      // Straight to the file descriptor: nothing that waits is written after `exit`.
      const destination = { write: (line: string) => void writeSync(2, line) };
      createLog({ level: 'fatal', keys, destination }).fatal({ err: error }, 'the process ends by a fault of its own');
    } finally {
      process.exit(1);
    }
  });
}
