/**
 * The spans that wait for the collector. Their number is bounded: beyond it, spans are dropped and
 * counted, and no request waits.
 */
import { Worker } from 'node:worker_threads';
import { errorMessage } from '../../../runtime/error-message.ts';
import type { SpanReport, SpanTask, SpanWorkerOptions } from './span-worker.ts';

export interface SpanQueueOptions {
  readonly worker: SpanWorkerOptions;
  /** The most spans that wait, in both threads. */
  readonly maxSpans: number;
  /** The longest time that a request waits for others before the worker gets it. */
  readonly delayMs: number;
  /** Called when the collector begins to fail, with the reason, and when it accepts spans again. */
  readonly onCollector: (failure: string | undefined) => void;
  /** Starts the worker; tests have their own. */
  readonly newWorker?: (options: SpanWorkerOptions) => SpanWorker;
}

/** The used part of a worker thread. */
export interface SpanWorker {
  postMessage(task: SpanTask): void;
  on(event: 'message', listener: (report: SpanReport) => void): unknown;
  on(event: 'error', listener: (error: unknown) => void): unknown;
  on(event: 'exit', listener: () => void): unknown;
  terminate(): Promise<unknown>;
  unref(): void;
}

/** Fewer messages between the threads cost less. */
const REQUESTS_A_TASK = 64;
/** What spans weigh is in the exporters and in messages that wait for the collector. */
const MAX_HEAP_MB = 96;

export class SpanQueue {
  readonly #options: SpanQueueOptions;
  #pending: string[] = [];
  /** The spans of each request that the worker has, in order. */
  readonly #sent: number[] = [];
  #waitingSpans = 0;
  #pendingSpans: number[] = [];
  #worker: SpanWorker | undefined;
  #timer: NodeJS.Timeout | undefined;
  #failure: string | undefined;
  #closed: (() => void) | undefined;
  exported = 0;
  dropped = 0;

  constructor(options: SpanQueueOptions) {
    this.#options = options;
  }

  /** Whether a request with this many spans has room; counts them as dropped where it has none. */
  admits(spans: number): boolean {
    if (this.#closed === undefined && this.#waitingSpans + spans <= this.#options.maxSpans) {
      return true;
    }
    this.dropped += spans;
    return false;
  }

  /** Adds a request, as JSON, with the number of its spans. */
  add(request: string, spans: number): void {
    this.#waitingSpans += spans;
    this.#pending.push(request);
    this.#pendingSpans.push(spans);
    if (this.#pending.length >= REQUESTS_A_TASK) {
      this.#send();
    } else {
      this.#timer ??= setTimeout(() => this.#send(), this.#options.delayMs).unref();
    }
  }

  /** Sends what waits, until the deadline. */
  async close(deadlineMs: number): Promise<void> {
    this.#send();
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
    this.#drop(this.#sent.length);
  }

  #send(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#pending.length === 0) {
      return;
    }
    this.#worker ??= this.#start();
    this.#worker.postMessage(this.#pending);
    this.#sent.push(...this.#pendingSpans);
    this.#pending = [];
    this.#pendingSpans = [];
  }

  #start(): SpanWorker {
    const { worker: options, newWorker = startWorker } = this.#options;
    const worker = newWorker(options);
    worker.unref();
    worker.on('message', (report) => this.#reported(report));
    worker.on('error', (error) => this.#collector(errorMessage(error)));
    worker.on('exit', () => {
      this.#worker = undefined;
      this.#drop(this.#sent.length);
      this.#closed?.();
    });
    return worker;
  }

  #reported({ requests, exported, dropped, failure, closed }: SpanReport): void {
    this.exported += exported;
    this.dropped += dropped;
    this.#release(requests);
    if (requests > 0) {
      this.#collector(failure);
    }
    if (closed) {
      this.#closed?.();
    }
  }

  #collector(failure: string | undefined): void {
    if ((failure === undefined) !== (this.#failure === undefined)) {
      this.#options.onCollector(failure);
    }
    this.#failure = failure;
  }

  #release(requests: number): number {
    const spans = this.#sent.splice(0, requests).reduce((sum, count) => sum + count, 0);
    this.#waitingSpans -= spans;
    return spans;
  }

  #drop(requests: number): void {
    this.dropped += this.#release(requests);
  }
}

function startWorker(workerData: SpanWorkerOptions): SpanWorker {
  return new Worker(new URL('./span-worker.ts', import.meta.url), {
    workerData,
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
  });
}
