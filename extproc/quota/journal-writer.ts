/**
 * Keeps a log open to be written, and brings the one before it into the database. All waiting for the disk is done off the event loop; what is written to
 * the database at a time is small. A power loss takes what came since the last sync, about a second.
 */
import { close, closeSync, fdatasync, ftruncateSync, open, openSync, rmSync, writeSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { JournalDatabase } from './journal-database.ts';
import { foldLog, type JournalDamage, logPath, openFlags, openMode, readLog, removeLogs } from './journal-log.ts';

export interface JournalWriterOptions {
  /** A log that cannot be brought in (the disk is slow or full) grows up to here; then grants are not journaled any more. */
  readonly maxLogBytes: number;
  /** How often a log is brought in; 0: only by `close`. */
  readonly foldEveryMs: number;
  readonly onTrouble: (error: unknown) => void;
  /** A file says less than was written to it. */
  readonly onDamage: (damage: JournalDamage) => void;
}

/** Windows, holds and quotas that are written at a time: one or two milliseconds, the checkpoint included. */
const entriesAtATime = 500;

/** After a failure the next try comes so much later. */
const retryMs = 1_000;

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
  readonly #timer: NodeJS.Timeout | undefined;
  /** To sync what SQLite writes. Closing one would drop SQLite's locks on the file, so they stay open as long as the database. */
  readonly #files: { readonly database: number; readonly wal: number };
  #current: LogFile;
  #spare: LogFile | undefined;
  #isOpening = false;
  /** Written to its end, not yet wholly in the database. */
  #full: number | undefined;
  #isFolding = false;
  #retryAtMs = 0;
  #isClosed = false;

  /** `first`: the number of the first log, higher than any that was there. */
  constructor(database: JournalDatabase, path: string, first: number, options: JournalWriterOptions) {
    this.#database = database;
    this.#path = path;
    this.#options = options;
    database.leaveSyncToOthers();
    this.#files = { database: openSync(path, 'r+'), wal: openSync(`${path}-wal`, 'r+') };
    this.#current = { number: first, file: openSync(logPath(path, first), openFlags, openMode), bytes: 0 };
    if (options.foldEveryMs > 0) {
      this.#openSpare();
      this.#timer = setInterval(() => this.#tick(), options.foldEveryMs).unref();
    }
  }

  /** Writes the bytes whole, or throws and has written nothing. */
  append(bytes: Uint8Array): void {
    const current = this.#current;
    if (current.bytes + bytes.length > this.#options.maxLogBytes) {
      throw new Error('quota journal: the disk does not keep up, grants are not written down');
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
  }

  /** Brings everything in and waits for the disk. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    closeSync(this.#current.file);
    try {
      const logs = this.#full === undefined ? [this.#current.number] : [this.#full, this.#current.number];
      for (const log of logs) {
        foldLog(this.#database, this.#path, log, this.#options.onDamage);
      }
      this.#database.sync();
      removeLogs(this.#path, logs);
    } catch (error) {
      // The next start brings it in, or says what is wrong.
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
      this.#full = current.number;
      this.#current = spare;
      this.#spare = undefined;
      close(current.file);
      this.#openSpare();
    }
  }

  /** What is synced, and when, keeps the database whole at every moment: the WAL before the checkpoint, the file before the WAL begins anew. */
  async #fold(log: number): Promise<void> {
    const batch = await readLog(this.#path, log, this.#options.onDamage);
    for (let isDone = false; !isDone && !this.#isClosed; ) {
      isDone = this.#database.writeSome(batch, log, entriesAtATime);
      await syncFile(this.#files.wal);
      if (!this.#isClosed) {
        this.#database.checkpoint();
        await syncFile(this.#files.database);
      }
    }
    if (!this.#isClosed) {
      await unlink(logPath(this.#path, log)).catch(ignoreMissing);
      this.#full = undefined;
    }
  }

  #failed(error: unknown): void {
    if (!this.#isClosed) {
      this.#retryAtMs = performance.now() + retryMs;
      this.#options.onTrouble(error);
    }
  }

  #openSpare(): void {
    if (this.#isOpening) {
      return;
    }
    this.#isOpening = true;
    const number = this.#current.number + 1;
    open(logPath(this.#path, number), openFlags, openMode, (error, file) => {
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
