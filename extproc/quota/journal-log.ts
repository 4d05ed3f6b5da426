/** The journal's logs: files of lines beside the database, numbered upwards. Each is written by the main thread and then folded into the database. */
import { closeSync, existsSync, openSync, readdirSync, readSync, rmSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { JournalDatabase } from './journal-database.ts';
import { Batch } from './journal-record.ts';

const chunkBytes = 256 * 1024;
const newline = 10;

export function logPath(path: string, log: number): string {
  return `${path}.log-${log}`;
}

/** The numbers of the logs that are there, the oldest first. */
export function logsOf(path: string): readonly number[] {
  const prefix = `${basename(path)}.log-`;
  return readdirSync(dirname(path))
    .filter((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)))
    .sort((a, b) => a - b);
}

/** A new, empty log. Where there is one of this number, a worker that died has made it, and nothing was written to it. */
export function openLog(path: string, log: number): number {
  return openSync(logPath(path, log), 'w', 0o600);
}

/** Writes what a log says into the database and removes it. One that is in there already is only removed. */
export function foldLog(database: JournalDatabase, path: string, log: number): void {
  if (log > database.applied && existsSync(logPath(path, log))) {
    const batch = new Batch();
    for (const line of linesOf(logPath(path, log))) {
      // What comes after a line that is not whole was never relied on: nothing went out before its line was written.
      if (!batch.add(line)) {
        break;
      }
    }
    database.apply(batch, log);
  }
  rmSync(logPath(path, log), { force: true });
}

/** Whole lines, read piece by piece: a log may be long where the disk was slow. */
function* linesOf(path: string): Generator<string> {
  const file = openSync(path, 'r');
  try {
    const chunk = Buffer.allocUnsafe(chunkBytes);
    let rest: Buffer[] = [];
    for (let read = readSync(file, chunk); read > 0; read = readSync(file, chunk)) {
      let start = 0;
      for (let end = chunk.indexOf(newline); end >= 0 && end < read; end = chunk.indexOf(newline, start)) {
        yield Buffer.concat([...rest, chunk.subarray(start, end)]).toString();
        rest = [];
        start = end + 1;
      }
      rest.push(Buffer.from(chunk.subarray(start, read)));
    }
  } finally {
    closeSync(file);
  }
}
