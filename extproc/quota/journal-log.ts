/** The journal's logs: files of lines beside the database, numbered upwards. Each is written to its end, then folded into the database and removed. */
import { closeSync, createReadStream, existsSync, openSync, readdirSync, readSync, rmSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { JournalDatabase } from './journal-database.ts';
import { Batch } from './journal-record.ts';

/** A chunk is read and folded in about a millisecond. */
const chunkBytes = 64 * 1024;
const newline = 10;

/** Where there is a log of this number, it was opened by a process that never wrote to it. */
export const openFlags = 'w';
export const openMode = 0o600;

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

/** Writes what a log says into the database, at once. It is removed (`removeLogs`) when the database is on the disk. */
export function foldLog(database: JournalDatabase, path: string, log: number): void {
  const file = logPath(path, log);
  if (log > database.applied && existsSync(file)) {
    const reader = new LogReader();
    const chunk = Buffer.allocUnsafe(chunkBytes);
    const descriptor = openSync(file, 'r');
    try {
      for (let read = readSync(descriptor, chunk); read > 0; read = readSync(descriptor, chunk)) {
        reader.push(Buffer.from(chunk.subarray(0, read)));
      }
    } finally {
      closeSync(descriptor);
    }
    database.write(reader.batch, log);
  }
}

export function removeLogs(path: string, logs: readonly number[]): void {
  for (const log of logs) {
    rmSync(logPath(path, log), { force: true });
  }
}

/** What a log says, read without holding the event loop. */
export async function readLog(path: string, log: number): Promise<Batch> {
  const reader = new LogReader();
  const file = logPath(path, log);
  if (existsSync(file)) {
    for await (const chunk of createReadStream(file, { highWaterMark: chunkBytes })) {
      reader.push(chunk);
    }
  }
  return reader.batch;
}

class LogReader {
  readonly batch = new Batch();
  private rest: Buffer[] = [];
  private isBroken = false;

  push(chunk: Buffer): void {
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0 && !this.isBroken; end = chunk.indexOf(newline, start)) {
      const line = Buffer.concat([...this.rest, chunk.subarray(start, end)]);
      // What comes after a line that is not whole was never relied on: nothing went out before its line was written.
      this.isBroken = !this.batch.add(line.toString());
      this.rest = [];
      start = end + 1;
    }
    this.rest.push(chunk.subarray(start));
  }
}
