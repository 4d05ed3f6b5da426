/** The journal's logs: files of lines beside the database, numbered upwards. Each is written to its end, then folded into the database and removed. */
import { closeSync, createReadStream, existsSync, openSync, readdirSync, readSync, rmSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { JournalDatabase } from './journal-database.ts';
import { JournalBatch } from './journal-record.ts';

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

/** What a file of the journal does not say any more. */
export interface JournalDamage {
  readonly file: string;
  readonly lines: number;
  /** Whole lines that are damaged, and where the first one begins. */
  readonly linesLost: number;
  readonly firstLostAtByte: number | undefined;
  /** Of a last line that was being written when the process ended: nothing had gone out on its word. */
  readonly cutBytes: number;
  /** Windows (a quota's sum for one key) whose beginning was lost or cannot be read, so that nothing of them is remembered. */
  readonly windowsLost: number;
}

/** Writes what a log says into the database, at once. It is removed (`removeLogs`) when the database is on the disk. */
export function foldLog(
  database: JournalDatabase,
  path: string,
  log: number,
  onDamage: (damage: JournalDamage) => void,
): void {
  const file = logPath(path, log);
  if (log > database.applied && existsSync(file)) {
    const reader = new LogReader(file);
    const chunk = Buffer.allocUnsafe(chunkBytes);
    const descriptor = openSync(file, 'r');
    try {
      for (let read = readSync(descriptor, chunk); read > 0; read = readSync(descriptor, chunk)) {
        reader.push(Buffer.from(chunk.subarray(0, read)));
      }
    } finally {
      closeSync(descriptor);
    }
    reader.end(database.write(reader.batch, log), onDamage);
  }
}

export function removeLogs(path: string, logs: readonly number[]): void {
  for (const log of logs) {
    rmSync(logPath(path, log), { force: true });
  }
}

/** What a log says, read without holding the event loop. */
export async function readLog(
  path: string,
  log: number,
  onDamage: (damage: JournalDamage) => void,
): Promise<JournalBatch> {
  const file = logPath(path, log);
  const reader = new LogReader(file);
  if (existsSync(file)) {
    for await (const chunk of createReadStream(file, { highWaterMark: chunkBytes })) {
      reader.push(chunk);
    }
  }
  reader.end(0, onDamage);
  return reader.batch;
}

class LogReader {
  readonly batch = new JournalBatch();
  readonly #file: string;
  #rest: Buffer[] = [];
  #restBytes = 0;
  #bytes = 0;
  #lines = 0;
  #linesLost = 0;
  #firstLostAtByte: number | undefined;

  constructor(file: string) {
    this.#file = file;
  }

  push(chunk: Buffer): void {
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      const line = Buffer.concat([...this.#rest, chunk.subarray(start, end)]);
      this.#lines++;
      if (!this.batch.add(line.toString())) {
        this.#linesLost++;
        this.#firstLostAtByte ??= this.#bytes;
      }
      this.#bytes += line.length + 1;
      this.#rest = [];
      this.#restBytes = 0;
      start = end + 1;
    }
    this.#rest.push(chunk.subarray(start));
    this.#restBytes += chunk.length - start;
  }

  end(windowsLost: number, onDamage: (damage: JournalDamage) => void): void {
    const file = this.#file;
    const lines = this.#lines;
    const linesLost = this.#linesLost;
    const firstLostAtByte = this.#firstLostAtByte;
    const cutBytes = this.#restBytes;
    if (linesLost + cutBytes + windowsLost > 0) {
      onDamage({ file, lines, linesLost, firstLostAtByte, cutBytes, windowsLost });
    }
  }
}
