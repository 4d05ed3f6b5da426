/**
 * The content that waits for one destination. Its bytes are bounded: beyond, content is dropped and
 * counted, and no request waits.
 */
import { Worker } from 'node:worker_threads';
import { errorMessage } from '../../../runtime/error-message.ts';
import type { ContentReport, ContentTask, ContentWorkerOptions } from './content-worker.ts';

export interface ContentQueueOptions {
  readonly worker: ContentWorkerOptions;
  /** The most UTF-16 units of JSON that wait, in both threads. */
  readonly maxUnits?: number;
  readonly dropped: (reason: 'queue_full' | 'export_failed', count: number) => void;
  readonly exported: (count: number) => void;
  /** Called when the destination begins to fail, with the reason, and when it recovers. */
  readonly onDestination: (failure: string | undefined) => void;
  /** Starts the worker; tests have their own. */
  readonly newWorker?: (options: ContentWorkerOptions) => ContentWorker;
}

/** The used part of a worker thread. */
export interface ContentWorker {
  postMessage(task: ContentTask): void;
  on(event: 'message', listener: (report: ContentReport) => void): unknown;
  on(event: 'error', listener: (error: unknown) => void): unknown;
  on(event: 'exit', listener: () => void): unknown;
  terminate(): Promise<unknown>;
  unref(): void;
}

/** 500 requests with 16 KB of prompt and of answer. */
const MAX_UNITS = 16 * 1024 * 1024;
const MAX_HEAP_MB = 128;

export class ContentQueue {
  readonly #options: ContentQueueOptions;
  readonly #maxUnits: number;
  /** The sizes of the entries that the worker has, in order. */
  readonly #sizes: number[] = [];
  #units = 0;
  #worker: ContentWorker | undefined;
  #failure: string | undefined;
  #closed: (() => void) | undefined;

  constructor(options: ContentQueueOptions) {
    this.#options = options;
    this.#maxUnits = options.maxUnits ?? MAX_UNITS;
  }

  /** Adds an entry, as JSON. */
  add(entry: string): void {
    if (this.#closed !== undefined || this.#units + entry.length > this.#maxUnits) {
      this.#options.dropped('queue_full', 1);
      return;
    }
    this.#worker ??= this.#start();
    this.#worker.postMessage({ entry });
    this.#sizes.push(entry.length);
    this.#units += entry.length;
  }

  /** Sends what waits, until the deadline. */
  async close(deadlineMs: number): Promise<void> {
    const worker = this.#worker;
    if (worker !== undefined) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, deadlineMs);
        this.#closed = () => {
          clearTimeout(timer);
          resolve();
        };
        worker.postMessage('close');
      });
      await worker.terminate();
    }
    this.#drop(this.#sizes.length);
  }

  #start(): ContentWorker {
    const { worker: options, newWorker = startWorker } = this.#options;
    const worker = newWorker(options);
    worker.unref();
    worker.on('message', (report) => this.#reported(report));
    worker.on('error', (error) => this.#destination(errorMessage(error)));
    worker.on('exit', () => {
      this.#worker = undefined;
      this.#drop(this.#sizes.length);
      this.#closed?.();
    });
    return worker;
  }

  #reported({ entries, exported, failure, closed }: ContentReport): void {
    this.#options.exported(exported);
    this.#release(entries);
    if (entries > exported) {
      this.#options.dropped('export_failed', entries - exported);
    }
    if (entries > 0) {
      this.#destination(failure);
    }
    if (closed) {
      this.#closed?.();
    }
  }

  #destination(failure: string | undefined): void {
    if ((failure === undefined) !== (this.#failure === undefined)) {
      this.#options.onDestination(failure);
    }
    this.#failure = failure;
  }

  #release(entries: number): number {
    const sizes = this.#sizes.splice(0, entries);
    this.#units -= sizes.reduce((sum, size) => sum + size, 0);
    return sizes.length;
  }

  #drop(entries: number): void {
    const count = this.#release(entries);
    if (count > 0) {
      this.#options.dropped('export_failed', count);
    }
  }
}

function startWorker(workerData: ContentWorkerOptions): ContentWorker {
  return new Worker(new URL('./content-worker.ts', import.meta.url), {
    workerData,
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
  });
}
