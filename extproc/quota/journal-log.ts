/**
 * The logs of the journal: numbered files of lines beside the database. Each is written, folded
 * into the database and removed.
 */
import { closeSync, createReadStream, existsSync, openSync, readdirSync, readSync, rmSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { JournalDatabase } from './journal-database.ts';
import { JournalBatch } from './journal-record.ts';

/** Read and folded in about a millisecond. */
const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 10;

/** Truncates: an existing log of this number was opened by a process that never wrote to it. */
export const OPEN_FLAGS = 'w';
export const OPEN_MODE = 0o600;

export function logPath(path: string, log: number): string {
  return `${path}.log-${log}`;
}

/** Returns the numbers of the existing logs, oldest first. */
export function logsOf(path: string): readonly number[] {
  const prefix = `${basename(path)}.log-`;
  return readdirSync(dirname(path))
    .filter((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)))
    .sort((a, b) => a - b);
}

/** What is lost or incomplete in a file of the journal. */
export interface JournalDamage {
  readonly file: string;
  readonly lines: number;
  /** Damaged complete lines, and the offset of the first one. */
  readonly linesLost: number;
  readonly firstLostAtByte: number | undefined;
  /**
   * Bytes of an incomplete last line, as after a crash: nothing that the line covers had been sent.
   */
  readonly cutBytes: number;
  /**
   * Windows (the sum of a quota for one key) that are forgotten, because their first record is lost
   * or unreadable.
   */
  readonly windowsLost: number;
}

/**
 * Folds a log into the database synchronously. The caller removes it (`removeLogs`) once the
 * database is synced. Returns whether the log may have usage.
 */
export function foldLog(
  database: JournalDatabase,
  path: string,
  log: number,
  onDamage: (damage: JournalDamage) => void,
): boolean {
  const file = logPath(path, log);
  if (log <= database.applied) {
    return true;
  }
  if (existsSync(file)) {
    const batch = new JournalBatch();
    const reader = new LogReader(file, (line) => batch.add(line));
    readLines(file, reader);
    reader.end(database.write(batch, log), onDamage);
    return batch.lastUsageId > 0;
  }
  return false;
}

/** Calls `onLine` with each complete line of a log, synchronously. */
export function readLogLines(file: string, onLine: (line: Buffer) => void): void {
  readLines(
    file,
    new LogReader(file, (line) => {
      onLine(line);
      return true;
    }),
  );
}

function readLines(file: string, reader: LogReader): void {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  const descriptor = openSync(file, 'r');
  try {
    for (let read = readSync(descriptor, chunk); read > 0; read = readSync(descriptor, chunk)) {
      reader.push(Buffer.from(chunk.subarray(0, read)));
    }
  } finally {
    closeSync(descriptor);
  }
}

export function removeLogs(path: string, logs: readonly number[]): void {
  for (const log of logs) {
    rmSync(logPath(path, log), { force: true });
  }
}

/** Reads a log without blocking the event loop. */
export async function readLog(
  path: string,
  log: number,
  onDamage: (damage: JournalDamage) => void,
): Promise<JournalBatch> {
  const file = logPath(path, log);
  const batch = new JournalBatch();
  const reader = new LogReader(file, (line) => batch.add(line));
  if (existsSync(file)) {
    for await (const chunk of createReadStream(file, { highWaterMark: CHUNK_BYTES })) {
      reader.push(chunk);
    }
  }
  reader.end(0, onDamage);
  return batch;
}

class LogReader {
  readonly #file: string;
  readonly #onLine: (line: Buffer) => boolean;
  #rest: Buffer[] = [];
  #restBytes = 0;
  #bytes = 0;
  #lines = 0;
  #linesLost = 0;
  #firstLostAtByte: number | undefined;

  /** `onLine` returns false for a damaged line. */
  constructor(file: string, onLine: (line: Buffer) => boolean) {
    this.#file = file;
    this.#onLine = onLine;
  }

  push(chunk: Buffer): void {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      const last = chunk.subarray(start, end);
      const line = this.#rest.length === 0 ? last : Buffer.concat([...this.#rest, last]);
      this.#lines++;
      if (!this.#onLine(line)) {
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
