/**
 * The usage that a journal has collected: hands complete logs to the usage worker, one after the
 * other, and passes queries on. A log stays until its usage is on the disk, so a worker that fails
 * loses nothing; what waits is bounded.
 */
import { existsSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { SharedStoreConfig } from '../../contract/shared-store.ts';
import { withoutOtlpHeaders } from '../../runtime/worker-environment.ts';
import type { ExportState } from './export/exporter.ts';
import type { ExportHeaders, UsageExportTarget } from './export/target.ts';
import type { RecoveredUsage } from './journal-database.ts';
import { logPath } from './journal-log.ts';
import type { UsageReader } from './journal-writer.ts';
import type { ExplainedRequest } from './usage-explain.ts';
import type { RecordPage, RecordQuery } from './usage-records.ts';
import type { UsageQuery, UsageSums } from './usage-report.ts';
import type { UsageSet } from './usage-share.ts';
import { SHARED_STORE } from './usage-sharing.ts';
import type { UsageRetention } from './usage-tables.ts';
import type { UsageAnswer, UsageCall, UsageTask, UsageWorkerOptions } from './usage-worker.ts';

export interface UsageArchiveOptions {
  readonly journalPath: string;
  readonly retention: UsageRetention;
  readonly exports: readonly UsageExportTarget[];
  readonly exportHeaders: ExportHeaders;
  /** Called when usage cannot be written; it is tried again. */
  readonly onTrouble: (error: unknown) => void;
  /** Called when the state of an export changes. */
  readonly onExport: (state: ExportState) => void;
}

/** Beyond this size of waiting logs, no usage is recorded: about 200,000 requests. */
const MAX_WAITING_BYTES = 128 * 1024 * 1024;

/** After the start of the process, others need the processors more. */
const START_DELAY_MS = 1_000;
const RETRY_MS = 1_000;
const CLOSE_DEADLINE_MS = 1_000;

/** SQLite's cache and memory of reports are outside this heap. */
const MAX_HEAP_MB = 64;
/** The young generation would grow to 8 MB, which a worker that mostly waits does not need. */
const YOUNG_MB = 3;

/** What the worker has to write, in the order of the ids of usage. */
interface WaitingUsage {
  readonly task: UsageTask;
  /** The size of a log. */
  readonly bytes: number;
  readonly done: () => void;
}

interface OpenCall {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export class UsageArchive implements UsageReader {
  readonly #options: UsageArchiveOptions;
  readonly #waiting: WaitingUsage[] = [];
  readonly #exports = new Map<string, ExportState>();
  readonly #calls = new Map<number, OpenCall>();
  #sharedStore: SharedStoreConfig | undefined;
  #worker: Worker | undefined;
  #lastCall = 0;
  #waitingBytes = 0;
  #isWriting = false;
  #isPaused = false;
  #timer: NodeJS.Timeout | undefined;
  readonly #startMs = performance.now();
  #closing: (() => void) | undefined;

  constructor(options: UsageArchiveOptions) {
    this.#options = options;
    this.#openForTargets();
  }

  /** The state of each target of exports. */
  get exports(): Iterable<ExportState> {
    return this.#exports.values();
  }

  /** Whether usage is sent to a shared store. */
  get isShared(): boolean {
    return this.#sharedStore !== undefined;
  }

  get isFull(): boolean {
    return this.#waitingBytes > MAX_WAITING_BYTES;
  }

  addLog(log: number): void {
    const file = logPath(this.#options.journalPath, log);
    const bytes = existsSync(file) ? statSync(file).size : 0;
    this.#add({ task: { type: 'log', log }, bytes, done: () => {} });
  }

  /** `done`: what must follow once the usage is on the disk. */
  addRecovered({ usage }: RecoveredUsage, done: () => void): void {
    this.#add({ task: { type: 'text', usage }, bytes: 0, done });
  }

  /** Sends usage to this store from now on; undefined: to none. */
  share(config: SharedStoreConfig | undefined): void {
    if (config === undefined && this.#sharedStore === undefined) {
      return;
    }
    this.#sharedStore = config;
    this.#exports.delete(SHARED_STORE);
    this.#add({ task: { type: 'share', config }, bytes: 0, done: () => {} });
  }

  report(query: UsageQuery, of: UsageSet = 'local'): Promise<readonly UsageSums[]> {
    return this.#call({ type: 'report', query, of }) as Promise<readonly UsageSums[]>;
  }

  explain(requestId: string, of: UsageSet = 'local'): Promise<readonly ExplainedRequest[]> {
    return this.#call({ type: 'explain', requestId, of }) as Promise<readonly ExplainedRequest[]>;
  }

  /** Returns the next page of single requests. */
  requests(query: RecordQuery, of: UsageSet = 'local'): Promise<RecordPage> {
    return this.#call({ type: 'requests', query, of }) as Promise<RecordPage>;
  }

  /** Starts nothing more until `close`: another process may use the journal from now on. */
  pause(): void {
    this.#isPaused = true;
    clearTimeout(this.#timer);
  }

  /**
   * Writes what waits, and ends the worker. What is not written before the deadline waits for the
   * next start.
   */
  async close(deadlineMs: number): Promise<void> {
    this.#isPaused = false;
    if (this.#waiting.length > 0) {
      const written = Promise.withResolvers<void>();
      this.#closing = written.resolve;
      const deadline = setTimeout(written.resolve, deadlineMs);
      clearTimeout(this.#timer);
      this.#writeNext();
      await written.promise;
      clearTimeout(deadline);
    }
    clearTimeout(this.#timer);
    this.#closing = () => {};
    const worker = this.#worker;
    if (worker !== undefined) {
      const closed = this.#call({ type: 'close' }).catch(() => {});
      await Promise.race([closed, sleep(CLOSE_DEADLINE_MS, undefined, { ref: false })]);
      await worker.terminate();
    }
  }

  #openForTargets(): void {
    if (this.#options.exports.length > 0) {
      this.#add({ task: { type: 'open' }, bytes: 0, done: () => {} });
    }
    if (this.#sharedStore !== undefined) {
      this.#add({ task: { type: 'share', config: this.#sharedStore }, bytes: 0, done: () => {} });
    }
  }

  #add(waiting: WaitingUsage): void {
    this.#waiting.push(waiting);
    this.#waitingBytes += waiting.bytes;
    const startsInMs = this.#startMs + START_DELAY_MS - performance.now();
    if (this.#worker !== undefined || startsInMs <= 0) {
      this.#writeNext();
    } else {
      this.#retryIn(startsInMs);
    }
  }

  /** One at a time: an id that follows a lost one would make the lost one look written. */
  #writeNext(): void {
    const next = this.#waiting[0];
    if (next === undefined) {
      this.#closing?.();
      return;
    }
    if (this.#isWriting || this.#isPaused) {
      return;
    }
    this.#isWriting = true;
    this.#call(next.task).then(
      () => {
        this.#isWriting = false;
        this.#waiting.shift();
        this.#waitingBytes -= next.bytes;
        next.done();
        this.#writeNext();
      },
      (error: unknown) => {
        this.#isWriting = false;
        this.#options.onTrouble(error);
        this.#retryIn(RETRY_MS);
      },
    );
  }

  #retryIn(delayMs: number): void {
    clearTimeout(this.#timer);
    if (!this.#isPaused) {
      this.#timer = setTimeout(() => this.#writeNext(), delayMs).unref();
    }
  }

  #call(task: UsageTask): Promise<unknown> {
    const worker = this.#worker ?? this.#startWorker();
    const id = ++this.#lastCall;
    const call: UsageCall = { id, task };
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      worker.ref();
      worker.postMessage(call);
    });
  }

  #startWorker(): Worker {
    const { journalPath, retention, exports, exportHeaders } = this.#options;
    const workerData: UsageWorkerOptions = { journalPath, retention, exports, exportHeaders };
    const worker = new Worker(new URL('./usage-worker.ts', import.meta.url), {
      workerData,
      env: withoutOtlpHeaders(process.env),
      resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB, maxYoungGenerationSizeMb: YOUNG_MB },
    });
    worker.on('message', ({ id, value, error, state }: UsageAnswer) => {
      if (state !== undefined) {
        this.#exports.set(state.target, state);
        this.#options.onExport(state);
        return;
      }
      const call = this.#calls.get(id);
      this.#calls.delete(id);
      if (this.#calls.size === 0) {
        worker.unref();
      }
      if (error === undefined) {
        call?.resolve(value);
      } else {
        call?.reject(new Error(error));
      }
    });
    let reason = new Error('the usage worker has ended');
    worker.on('error', (error) => {
      reason = error instanceof Error ? error : new Error(String(error));
    });
    worker.on('exit', () => {
      this.#worker = undefined;
      if (this.#closing === undefined && !this.#isPaused) {
        this.#openForTargets();
      }
      const calls = [...this.#calls.values()];
      this.#calls.clear();
      for (const call of calls) {
        call.reject(reason);
      }
    });
    this.#worker = worker;
    return worker;
  }
}
