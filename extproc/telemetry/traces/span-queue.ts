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
  /** Milliseconds. */
  readonly now?: () => number;
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

/** The worker sends the requests of a task together, and fewer messages cost less. */
const REQUESTS_A_TASK = 256;
/** The share of the spans that may wait for the worker until it gets them. */
const PENDING_SHARE = 1 / 4;
/** The most UTF-16 units of JSON that wait: spans with content are large. */
const MAX_CHARACTERS = 32 * 1024 * 1024;
/** Requests that wait and messages to the collector. */
const MAX_HEAP_MB = 96;
/** A worker that cannot start would otherwise be started for each task. */
const RESTART_PAUSE_MS = 1_000;

interface WaitingSize {
  readonly spans: number;
  readonly characters: number;
}

export class SpanQueue {
  readonly #options: SpanQueueOptions;
  #pending: string[] = [];
  #pendingSizes: WaitingSize[] = [];
  #pendingSpans = 0;
  /** Of each request that the worker has, in order. */
  readonly #sent: WaitingSize[] = [];
  #waitingSpans = 0;
  #waitingCharacters = 0;
  #worker: SpanWorker | undefined;
  /** When a worker may start again after one that has ended. */
  #restartMs = Number.NEGATIVE_INFINITY;
  readonly #now: () => number;
  #timer: NodeJS.Timeout | undefined;
  #failure: string | undefined;
  #closed: (() => void) | undefined;
  exported = 0;
  dropped = 0;

  constructor(options: SpanQueueOptions) {
    this.#options = options;
    this.#now = options.now ?? performance.now.bind(performance);
  }

  /** Whether a request with this many spans has room; counts them as dropped where it has none. */
  admits(spans: number): boolean {
    const hasRoom = this.#waitingSpans + spans <= this.#options.maxSpans && this.#waitingCharacters < MAX_CHARACTERS;
    if (hasRoom && this.#closed === undefined) {
      return true;
    }
    this.dropped += spans;
    return false;
  }

  /** Adds a request, as JSON, with the number of its spans. */
  add(request: string, spans: number): void {
    const characters = request.length;
    this.#waitingSpans += spans;
    this.#waitingCharacters += characters;
    this.#pending.push(request);
    this.#pendingSizes.push({ spans, characters });
    this.#pendingSpans += spans;
    const isFull = this.#pendingSpans >= this.#options.maxSpans * PENDING_SHARE;
    if (isFull || this.#pending.length >= REQUESTS_A_TASK) {
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
    const requests = this.#pending;
    this.#sent.push(...this.#pendingSizes);
    this.#pending = [];
    this.#pendingSizes = [];
    this.#pendingSpans = 0;
    if (this.#worker === undefined && this.#now() < this.#restartMs) {
      this.#drop(requests.length);
      return;
    }
    this.#worker ??= this.#start();
    this.#worker.postMessage(requests);
  }

  #start(): SpanWorker {
    const { worker: options, newWorker = startWorker } = this.#options;
    const worker = newWorker(options);
    worker.unref();
    worker.on('message', (report) => this.#reported(report));
    worker.on('error', (error) => this.#collector(errorMessage(error)));
    worker.on('exit', () => {
      this.#worker = undefined;
      this.#restartMs = this.#now() + RESTART_PAUSE_MS;
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

  /** Returns the number of spans. */
  #release(requests: number): number {
    let released = 0;
    for (const { spans, characters } of this.#sent.splice(0, requests)) {
      released += spans;
      this.#waitingCharacters -= characters;
    }
    this.#waitingSpans -= released;
    return released;
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
