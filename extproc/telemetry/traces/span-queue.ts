/**
 * The spans that wait for the collector. Their number is bounded: beyond it, spans are dropped and
 * counted, and no request waits.
 */
import { Worker } from 'node:worker_threads';
import { errorMessage } from '../../../runtime/error-message.ts';
import { type QueueWorker, WorkerQueue } from '../worker-queue.ts';
import type { SpanReport, SpanTask, SpanWorkerOptions } from './span-worker.ts';

export interface SpanQueueOptions {
  readonly worker: SpanWorkerOptions;
  /** The most spans that wait, in both threads. */
  readonly maxSpans: number;
  /** The longest time that a request waits for others before the worker gets it. */
  readonly delayMs: number;
  /** Called when the collector begins to fail, with the reason, and when it accepts spans again. */
  readonly onCollector: (failure: string | undefined) => void;
  /** Milliseconds. */
  readonly now?: () => number;
  /** Starts the worker; tests have their own. */
  readonly newWorker?: (options: SpanWorkerOptions) => SpanThread;
}

/** The share of the spans that may wait for the worker until it gets them. */
const PENDING_SHARE = 1 / 4;
/** The most UTF-16 units of JSON that wait: spans with content are large. */
const MAX_CHARACTERS = 32 * 1024 * 1024;
/** Requests that wait and messages to the collector. */
const MAX_HEAP_MB = 96;

export type SpanThread = QueueWorker<SpanTask, SpanReport>;

interface WaitingSize {
  readonly spans: number;
  readonly characters: number;
}

export class SpanQueue {
  readonly #options: SpanQueueOptions;
  readonly #queue: WorkerQueue<WaitingSize, SpanTask, SpanReport>;
  #pendingSpans = 0;
  #waitingSpans = 0;
  #waitingCharacters = 0;
  #failure: string | undefined;
  exported = 0;
  dropped = 0;

  constructor(options: SpanQueueOptions) {
    const { worker, delayMs, now, newWorker = startWorker } = options;
    this.#options = options;
    this.#queue = new WorkerQueue({
      newWorker: () => newWorker(worker),
      task: (requests) => {
        this.#pendingSpans = 0;
        return requests;
      },
      delayMs,
      now,
      reported: (report) => this.#reported(report),
      failed: (error) => this.#collector(errorMessage(error)),
      lost: (sizes) => {
        this.dropped += this.#release(sizes);
      },
    });
  }

  /** Whether a request with this many spans has room; counts them as dropped where it has none. */
  admits(spans: number): boolean {
    const hasRoom = this.#waitingSpans + spans <= this.#options.maxSpans && this.#waitingCharacters < MAX_CHARACTERS;
    if (hasRoom && !this.#queue.isClosed) {
      return true;
    }
    this.dropped += spans;
    return false;
  }

  /** Adds a request, as JSON, with the number of its spans. */
  add(request: string, spans: number): void {
    this.#waitingSpans += spans;
    this.#waitingCharacters += request.length;
    this.#pendingSpans += spans;
    this.#queue.add(request, { spans, characters: request.length });
    if (this.#pendingSpans >= this.#options.maxSpans * PENDING_SHARE) {
      this.#queue.send();
    }
  }

  /** Sends what waits, until the deadline. */
  close(deadlineMs: number): Promise<void> {
    return this.#queue.close(deadlineMs);
  }

  #reported({ requests, exported, dropped, failure, closed }: SpanReport): void {
    this.exported += exported;
    this.dropped += dropped;
    this.#release(this.#queue.done(requests));
    if (requests > 0) {
      this.#collector(failure);
    }
    if (closed) {
      this.#queue.end();
    }
  }

  #collector(failure: string | undefined): void {
    if ((failure === undefined) !== (this.#failure === undefined)) {
      this.#options.onCollector(failure);
    }
    this.#failure = failure;
  }

  /** Returns the number of spans. */
  #release(sizes: readonly WaitingSize[]): number {
    let released = 0;
    for (const { spans, characters } of sizes) {
      released += spans;
      this.#waitingCharacters -= characters;
    }
    this.#waitingSpans -= released;
    return released;
  }
}

function startWorker(workerData: SpanWorkerOptions): SpanThread {
  return new Worker(new URL('./span-worker.ts', import.meta.url), {
    workerData,
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
  });
}
