/** Keeps one log open to be written and hands the one before it to the worker. The database is synced once for each log, so at least once a second. */
import { closeSync, ftruncateSync, writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { JournalDatabase } from './journal-database.ts';
import { foldLog, openLog } from './journal-log.ts';
import type { FromWorker, ToWorker, WorkerData } from './journal-worker.ts';

export interface LogKeeper {
  /** Writes the bytes whole, or throws and has written nothing. */
  append(bytes: Uint8Array): void;
  close(): void;
}

/** A power loss takes what came in so long, and while the log before it was synced. */
const foldEveryMs = 500;
const restartMs = 1_000;
const closeMs = 5_000;

interface OpenLog {
  readonly log: number;
  readonly file: number;
  bytes: number;
}

function append(open: OpenLog, bytes: Uint8Array, maxBytes: number): void {
  if (open.bytes + bytes.length > maxBytes) {
    throw new Error('quota journal: the disk does not keep up, grants are not written down');
  }
  let written = 0;
  try {
    while (written < bytes.length) {
      written += writeSync(open.file, bytes, written, bytes.length - written, open.bytes + written);
    }
  } catch (error) {
    ftruncateSync(open.file, open.bytes);
    throw error;
  }
  open.bytes += written;
}

/** With a worker of its own; what goes wrong there is told to `onTrouble`, and another one takes over. */
export class WorkerKeeper implements LogKeeper {
  private readonly path: string;
  private readonly maxLogBytes: number;
  private readonly onTrouble: (error: unknown) => void;
  private worker: Worker;
  private readonly closed = new Int32Array(new SharedArrayBuffer(4));
  private current: OpenLog;
  private spare: OpenLog | undefined;
  /** Handed to the worker, not yet in the database. */
  private folding: number | undefined;
  private readonly timer: NodeJS.Timeout;
  private restart: NodeJS.Timeout | undefined;
  private isClosing = false;

  constructor(path: string, log: number, maxLogBytes: number, onTrouble: (error: unknown) => void) {
    this.path = path;
    this.maxLogBytes = maxLogBytes;
    this.onTrouble = onTrouble;
    this.current = { log, file: openLog(path, log), bytes: 0 };
    this.worker = this.startWorker();
    this.timer = setInterval(() => this.fold(), foldEveryMs).unref();
  }

  append(bytes: Uint8Array): void {
    append(this.current, bytes, this.maxLogBytes);
  }

  /** Waits until all is in the database, a few milliseconds as a rule; where it takes too long, the next start brings it in. */
  close(): void {
    this.isClosing = true;
    clearInterval(this.timer);
    if (this.restart === undefined) {
      this.send({ type: 'fold', log: this.current.log, file: this.current.file });
      this.send({ type: 'close' });
      Atomics.wait(this.closed, 0, 0, closeMs);
    } else {
      clearTimeout(this.restart);
      closeSync(this.current.file);
    }
    if (this.spare !== undefined) {
      closeSync(this.spare.file);
    }
    this.worker.terminate().catch(this.onTrouble);
  }

  private fold(): void {
    const { current, spare } = this;
    if (this.folding !== undefined || spare === undefined || current.bytes === 0) {
      return;
    }
    this.current = spare;
    this.spare = undefined;
    this.folding = current.log;
    this.send({ type: 'fold', log: current.log, file: current.file });
    this.send({ type: 'open', log: spare.log + 1 });
  }

  private send(message: ToWorker): void {
    this.worker.postMessage(message);
  }

  private startWorker(): Worker {
    const worker = new Worker(new URL('./journal-worker.ts', import.meta.url), {
      workerData: { path: this.path, closed: this.closed } satisfies WorkerData,
      // A descriptor that it opened for the main thread must outlive it.
      trackUnmanagedFds: false,
      resourceLimits: { maxOldGenerationSizeMb: 128 },
    });
    worker.unref();
    worker.on('message', (message: FromWorker) => this.heard(message));
    worker.on('error', (error) => this.lost(error));
    if (this.folding !== undefined) {
      worker.postMessage({ type: 'fold', log: this.folding, file: undefined } satisfies ToWorker);
    }
    if (this.spare === undefined) {
      worker.postMessage({ type: 'open', log: this.current.log + 1 } satisfies ToWorker);
    }
    return worker;
  }

  private heard(message: FromWorker): void {
    if (message.type === 'folded') {
      this.folding = undefined;
    } else {
      this.spare = { log: message.log, file: message.file, bytes: 0 };
    }
  }

  private lost(error: unknown): void {
    if (!this.isClosing) {
      this.onTrouble(error);
      this.restart = setTimeout(() => {
        this.restart = undefined;
        this.worker = this.startWorker();
      }, restartMs).unref();
    }
  }
}

/** Without a thread: for tools and tests, where waiting for the disk does no harm. */
export class InlineKeeper implements LogKeeper {
  private readonly database: JournalDatabase;
  private readonly path: string;
  private current: OpenLog;

  constructor(database: JournalDatabase, path: string, log: number) {
    this.database = database;
    this.path = path;
    this.current = { log, file: openLog(path, log), bytes: 0 };
  }

  append(bytes: Uint8Array): void {
    append(this.current, bytes, Number.POSITIVE_INFINITY);
  }

  fold(): void {
    const { log, file } = this.current;
    this.current = { log: log + 1, file: openLog(this.path, log + 1), bytes: 0 };
    closeSync(file);
    foldLog(this.database, this.path, log);
  }

  close(): void {
    closeSync(this.current.file);
    foldLog(this.database, this.path, this.current.log);
    this.database.close();
  }
}
