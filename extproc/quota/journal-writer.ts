/**
 * Writes the current log and folds the previous one into the database. Waits for the disk off the
 * event loop, and writes to the database in small steps. A power loss loses what was written since
 * the last sync, about a second.
 */
import { close, closeSync, fdatasync, ftruncateSync, open, openSync, rmSync, writeSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { setImmediate as turn } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { JournalDatabase } from './journal-database.ts';
import { foldLog, type JournalDamage, logPath, OPEN_FLAGS, OPEN_MODE, readLog, removeLogs } from './journal-log.ts';
import { JournalBatch, type JournalRecord } from './journal-record.ts';

export interface JournalWriterOptions {
  /**
   * The bound of a log that cannot be folded in, because the disk is slow or full; past it, grants
   * are no longer journaled.
   */
  readonly maxLogBytes: number;
  /** The interval between two folds; 0: only `close` folds. */
  readonly foldEveryMs: number;
  readonly onTrouble: (error: unknown) => void;
  /** Called when part of a file is lost. */
  readonly onDamage: (damage: JournalDamage) => void;
}

/** Reads the usage in the logs, once they are folded into the database. */
export interface UsageReader {
  /** Takes over a log, and removes it at the end. */
  addLog(log: number): void;
  readonly isFull: boolean;
}

/**
 * Windows, holds and quotas written in one step: one or two milliseconds, including the checkpoint.
 */
const ENTRIES_PER_STEP = 500;

/** Steps between two waits for the disk. */
const STEPS_PER_SYNC = 4;

/** The pause after a failed fold. */
const RETRY_MS = 1_000;

/** A log that is complete and not yet folded in completely. */
interface FullLog {
  readonly number: number;
  readonly hasUsage: boolean;
  /** Taken when folding begins: from then on, only the file has all of them. */
  states: JournalBatch | undefined;
}

interface LogFile {
  readonly number: number;
  readonly file: number;
  bytes: number;
}

const syncFile = promisify(fdatasync);

export class JournalWriter {
  readonly #database: JournalDatabase;
  readonly #path: string;
  readonly #options: JournalWriterOptions;
  readonly #usageReader: UsageReader | undefined;
  readonly #timer: NodeJS.Timeout | undefined;
  /**
   * For syncing what SQLite writes. Closing a descriptor would drop SQLite's locks, so both stay
   * open with the database.
   */
  readonly #files: { readonly database: number; readonly wal: number };
  #current: LogFile;
  /** The states in the current log. */
  #states = new JournalBatch(0);
  #spare: LogFile | undefined;
  #isOpening = false;
  #full: FullLog | undefined;
  #isFolding = false;
  #retryAtMs = 0;
  #isClosed = false;

  /** `first`: the number of the first log, higher than that of any existing log. */
  constructor(
    database: JournalDatabase,
    path: string,
    first: number,
    options: JournalWriterOptions,
    usageReader: UsageReader | undefined,
  ) {
    this.#database = database;
    this.#path = path;
    this.#usageReader = usageReader;
    this.#options = options;
    database.leaveSyncToOthers();
    this.#files = { database: openSync(path, 'r+'), wal: openSync(`${path}-wal`, 'r+') };
    this.#current = { number: first, file: openSync(logPath(path, first), OPEN_FLAGS, OPEN_MODE), bytes: 0 };
    if (options.foldEveryMs > 0) {
      this.#openSpare();
      this.#timer = setInterval(() => this.#tick(), options.foldEveryMs).unref();
    }
  }

  /**
   * Writes all of the line, or throws and has written nothing. `records` and `lastUsageId` are
   * those of the line.
   */
  append(bytes: Uint8Array, records: readonly JournalRecord[], lastUsageId: number): void {
    const current = this.#current;
    if (current.bytes + bytes.length > this.#options.maxLogBytes) {
      throw new Error('quota journal: the log is full because the disk is too slow; grants are not journaled');
    }
    let written = 0;
    try {
      while (written < bytes.length) {
        written += writeSync(current.file, bytes, written, bytes.length - written, current.bytes + written);
      }
    } catch (error) {
      ftruncateSync(current.file, current.bytes);
      throw error;
    }
    current.bytes += written;
    for (const record of records) {
      this.#states.fold(record);
    }
    this.#states.sawUsage(lastUsageId);
  }

  /** False: too much usage waits to be read. */
  get takesUsage(): boolean {
    return this.#usageReader?.isFull !== true;
  }

  /** Folds everything in and waits for the disk. Logs with usage stay for its reader. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    closeSync(this.#current.file);
    try {
      const current = { number: this.#current.number, hasUsage: this.#states.lastUsageId > 0 };
      const logs = this.#full === undefined ? [current] : [this.#full, current];
      for (const { number } of logs) {
        foldLog(this.#database, this.#path, number, this.#options.onDamage);
      }
      this.#database.sync();
      const reader = this.#usageReader;
      const ofReader = logs.filter(({ hasUsage }) => hasUsage && reader !== undefined);
      removeLogs(
        this.#path,
        logs.filter((log) => !ofReader.includes(log)).map(({ number }) => number),
      );
      for (const { number } of ofReader) {
        reader?.addLog(number);
      }
    } catch (error) {
      // The next start folds the logs in, or reports what is wrong.
      this.#options.onTrouble(error);
    }
    this.#database.close();
    closeSync(this.#files.database);
    closeSync(this.#files.wal);
    if (this.#spare !== undefined) {
      this.#discard(this.#spare);
    }
  }

  #tick(): void {
    if (this.#isFolding || performance.now() < this.#retryAtMs) {
      return;
    }
    if (this.#spare === undefined) {
      this.#openSpare();
    }
    if (this.#full === undefined) {
      this.#swap();
    }
    if (this.#full !== undefined) {
      this.#isFolding = true;
      this.#fold(this.#full)
        .catch((error: unknown) => this.#failed(error))
        .finally(() => {
          this.#isFolding = false;
        });
    }
  }

  #swap(): void {
    const current = this.#current;
    const spare = this.#spare;
    if (spare !== undefined && current.bytes > 0) {
      const states = this.#states;
      this.#full = { number: current.number, hasUsage: states.lastUsageId > 0, states };
      this.#states = new JournalBatch(states.newestHold);
      this.#current = spare;
      this.#spare = undefined;
      close(current.file);
      this.#openSpare();
    }
  }

  /**
   * Folds a log in steps. The order of syncs keeps the database consistent at every moment: the WAL
   * before the checkpoint, the file before the WAL is reused.
   */
  async #fold(log: FullLog): Promise<void> {
    const { number, states } = log;
    log.states = undefined;
    const batch = states ?? (await readLog(this.#path, number, this.#options.onDamage));
    let isDone = false;
    for (let step = 1; !isDone && !this.#isClosed; step++) {
      isDone = this.#database.writeSome(batch, number, ENTRIES_PER_STEP);
      if (!isDone && step % STEPS_PER_SYNC !== 0) {
        await turn();
        continue;
      }
      await syncFile(this.#files.wal);
      if (!this.#isClosed) {
        this.#database.checkpoint();
        await syncFile(this.#files.database);
      }
    }
    if (!this.#isClosed) {
      if (log.hasUsage && this.#usageReader !== undefined) {
        this.#usageReader.addLog(number);
      } else {
        await unlink(logPath(this.#path, number)).catch(ignoreMissing);
      }
      this.#full = undefined;
    }
  }

  #failed(error: unknown): void {
    if (!this.#isClosed) {
      this.#retryAtMs = performance.now() + RETRY_MS;
      this.#options.onTrouble(error);
    }
  }

  #openSpare(): void {
    if (this.#isOpening) {
      return;
    }
    this.#isOpening = true;
    const number = this.#current.number + 1;
    open(logPath(this.#path, number), OPEN_FLAGS, OPEN_MODE, (error, file) => {
      this.#isOpening = false;
      if (error !== null) {
        this.#failed(error);
      } else if (this.#isClosed) {
        this.#discard({ number, file, bytes: 0 });
      } else {
        this.#spare = { number, file, bytes: 0 };
      }
    });
  }

  #discard(log: LogFile): void {
    closeSync(log.file);
    rmSync(logPath(this.#path, log.number), { force: true });
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') {
    throw error;
  }
}
