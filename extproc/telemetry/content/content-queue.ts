/**
 * The content that waits for one destination. Its bytes are bounded: beyond, content is dropped and
 * counted, and no request waits.
 */
import { Worker } from 'node:worker_threads';
import { errorMessage } from '../../../runtime/error-message.ts';
import { withoutOtlpHeaders } from '../../../runtime/worker-environment.ts';
import type { ContentReport } from './content-batches.ts';
import type { ContentTask, ContentWorkerOptions } from './content-worker.ts';
import type { ExportDropReason, SendFailure } from './sender.ts';

export interface ContentQueueOptions {
  readonly worker: ContentWorkerOptions;
  /** The most UTF-16 units of JSON that wait, in both threads. */
  readonly maxUnits?: number;
  readonly dropped: (reason: 'queue_full' | ExportDropReason, count: number) => void;
  readonly exported: (count: number) => void;
  /**
   * Called when the destination begins to fail, with the reason, and when it has not failed for
   * `RECOVERY_MS`.
   */
  readonly onDestination: (failure: string | undefined) => void;
  /** Milliseconds. */
  readonly now?: () => number;
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
/** A destination that fails now and then is told of once. */
const RECOVERY_MS = 30_000;
/** A worker that cannot start would otherwise be started for each entry. */
const RESTART_PAUSE_MS = 1_000;

export class ContentQueue {
  readonly #options: ContentQueueOptions;
  readonly #maxUnits: number;
  /** The sizes of the entries that the worker has, in order. */
  readonly #sizes: number[] = [];
  #units = 0;
  #worker: ContentWorker | undefined;
  /** When a worker may start again after one that has ended. */
  #restartMs = Number.NEGATIVE_INFINITY;
  readonly #now: () => number;
  /** When the destination failed last; present while it is told of as failing. */
  #failedAtMs: number | undefined;
  #closed: (() => void) | undefined;

  constructor(options: ContentQueueOptions) {
    this.#options = options;
    this.#maxUnits = options.maxUnits ?? MAX_UNITS;
    this.#now = options.now ?? performance.now.bind(performance);
  }

  /** Adds an entry, as JSON. */
  add(entry: string): void {
    if (this.#closed !== undefined || this.#units + entry.length > this.#maxUnits) {
      this.#options.dropped('queue_full', 1);
      return;
    }
    if (this.#worker === undefined && this.#now() < this.#restartMs) {
      this.#options.dropped('export_failed', 1);
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
    worker.on('error', (error) => this.#destination({ reason: 'export_failed', text: errorMessage(error) }));
    worker.on('exit', () => {
      this.#worker = undefined;
      this.#restartMs = this.#now() + RESTART_PAUSE_MS;
      this.#drop(this.#sizes.length);
      this.#closed?.();
    });
    return worker;
  }

  #reported({ entries, exported, failure, closed }: ContentReport): void {
    this.#options.exported(exported);
    this.#release(entries);
    if (entries > exported) {
      this.#options.dropped(failure?.reason ?? 'export_failed', entries - exported);
    }
    if (entries > 0) {
      this.#destination(failure);
    }
    if (closed) {
      this.#closed?.();
    }
  }

  #destination(failure: SendFailure | undefined): void {
    const { onDestination } = this.#options;
    if (failure !== undefined) {
      const isKnown = this.#failedAtMs !== undefined;
      this.#failedAtMs = this.#now();
      if (!isKnown) {
        onDestination(failure.text);
      }
    } else if (this.#failedAtMs !== undefined && this.#now() - this.#failedAtMs >= RECOVERY_MS) {
      this.#failedAtMs = undefined;
      onDestination(undefined);
    }
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
    env: workerEnvironment(process.env),
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
  });
}

/**
 * Returns the variables that the libraries may read: without the identity of the machine, which all
 * pods of a node share, unless the operator asks for it.
 */
function workerEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const others = withoutOtlpHeaders(environment);
  return { AWS_EC2_METADATA_DISABLED: 'true', AWS_EC2_METADATA_V1_DISABLED: 'true', ...others };
}
