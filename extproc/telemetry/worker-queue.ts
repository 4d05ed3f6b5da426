/**
 * Work that waits for a worker thread, and work that the thread has. Both are in order, so that a
 * report tells only how much is done.
 */

/** The used part of a worker thread. */
export interface QueueWorker<Task, Report> {
  postMessage(task: Task | 'close'): void;
  on(event: 'message', listener: (report: Report) => void): unknown;
  on(event: 'error', listener: (error: unknown) => void): unknown;
  on(event: 'exit', listener: () => void): unknown;
  terminate(): Promise<unknown>;
  unref(): void;
}

export interface WorkerQueueOptions<Held, Task, Report> {
  readonly newWorker: () => QueueWorker<Task, Report>;
  /** Returns the message for some items. */
  readonly task: (items: readonly string[]) => Task;
  /** The longest time that an item waits for others before the worker gets it. */
  readonly delayMs: number;
  /** Milliseconds. */
  readonly now: (() => number) | undefined;
  readonly reported: (report: Report) => void;
  /** The worker ends because of an error. */
  readonly failed: (error: unknown) => void;
  /** Called with what a worker had when it ended, and with what comes before the next may start. */
  readonly lost: (held: readonly Held[]) => void;
}

/** Fewer messages cost less: each wakes the other thread. */
const MAX_TASK_ITEMS = 256;
/** A worker that cannot start would otherwise be started for each task. */
const RESTART_PAUSE_MS = 1_000;

/** `Held`: what is known of an item while it waits. */
export class WorkerQueue<Held, Task, Report> {
  readonly #options: WorkerQueueOptions<Held, Task, Report>;
  readonly #now: () => number;
  #pending: string[] = [];
  #pendingHeld: Held[] = [];
  readonly #sent: Held[] = [];
  #worker: QueueWorker<Task, Report> | undefined;
  /** When a worker may start again after one that has ended. */
  #restartMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #ended: (() => void) | undefined;

  constructor(options: WorkerQueueOptions<Held, Task, Report>) {
    this.#options = options;
    this.#now = options.now ?? performance.now.bind(performance);
  }

  /** Whether nothing may be added any more. */
  get isClosed(): boolean {
    return this.#ended !== undefined;
  }

  add(item: string, held: Held): void {
    this.#pending.push(item);
    this.#pendingHeld.push(held);
    if (this.#pending.length >= MAX_TASK_ITEMS) {
      this.send();
    } else {
      this.#timer ??= setTimeout(() => this.send(), this.#options.delayMs).unref();
    }
  }

  /** Gives the worker what waits for it. */
  send(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#pending.length === 0) {
      return;
    }
    const task = this.#options.task(this.#pending);
    const held = this.#pendingHeld;
    this.#pending = [];
    this.#pendingHeld = [];
    if (this.#worker === undefined && this.#now() < this.#restartMs) {
      this.#options.lost(held);
      return;
    }
    this.#worker ??= this.#start();
    this.#sent.push(...held);
    this.#worker.postMessage(task);
  }

  /** Takes the next items that the worker has done. */
  done(count: number): readonly Held[] {
    return this.#sent.splice(0, count);
  }

  /** The worker has nothing left to do. */
  end(): void {
    this.#ended?.();
  }

  /** Waits for the worker to end, until the deadline. */
  async close(deadlineMs: number): Promise<void> {
    this.send();
    const worker = this.#worker;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, deadlineMs);
      this.#ended = () => {
        clearTimeout(timer);
        resolve();
      };
      if (worker === undefined) {
        this.#ended();
      }
      worker?.postMessage('close');
    });
    await worker?.terminate();
    this.#lose();
  }

  #start(): QueueWorker<Task, Report> {
    const worker = this.#options.newWorker();
    worker.unref();
    worker.on('message', (report) => this.#options.reported(report));
    worker.on('error', (error) => this.#options.failed(error));
    worker.on('exit', () => {
      this.#worker = undefined;
      this.#restartMs = this.#now() + RESTART_PAUSE_MS;
      this.#lose();
      this.end();
    });
    return worker;
  }

  #lose(): void {
    this.#options.lost(this.#sent.splice(0));
  }
}
