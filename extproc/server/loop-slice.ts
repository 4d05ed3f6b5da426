/**
 * One iteration of the event loop. Work runs until its time slice is used up. All output is then
 * journaled and flushed together, for all connections, before the next slice begins.
 */

export interface Flushable {
  flush(): void;
  /** Drops the output: the journal could not be written, or the flush failed. */
  discard(): void;
}

export interface Task {
  /** Works until it is done or the slice is over. In the latter case it schedules itself again. */
  proceed(): void;
  /** Called after an exception. The task is not called again. */
  discard?(): void;
}

/**
 * Units of work between two looks at the clock. A message is one unit, and each 2 KB another: 8 KB
 * may take milliseconds, so the clock is read after each.
 */
const UNITS_PER_LOOK = 4;
const BYTES_PER_UNIT_SHIFT = 11;

/**
 * Stop reading once this many requests are queued, so that HTTP/2 flow control pushes back on
 * Envoy.
 */
const MAX_QUEUED_REQUESTS = 256;

export class LoopSlice {
  /** The slice is used up, or too many requests are queued. */
  over = false;
  readonly #sliceMs: number;
  readonly #beforeFlush: () => boolean;
  readonly #onError: (error: unknown) => void;
  #units = 0;
  #startedMs = -1;
  #scheduled = false;
  #dirty: Flushable[] = [];
  #tasks: Task[] = [];
  #queuedRequests: (() => void)[] = [];

  /**
   * `beforeFlush` runs before each flush; where it returns false, the output is discarded.
   * `onError` receives exceptions of members, which must not end the process.
   */
  constructor(sliceMs: number, prepare: () => boolean, fault: (error: unknown) => void) {
    this.#sliceMs = sliceMs;
    this.#beforeFlush = prepare;
    this.#onError = fault;
  }

  /** Starts the slice's clock, if it does not run yet. */
  begin(): void {
    if (this.#startedMs >= 0) {
      return;
    }
    this.#startedMs = performance.now();
    this.#schedule();
  }

  /** Accounts for a message of this many bytes. */
  spend(bytes: number): void {
    this.#units += 1 + (bytes >>> BYTES_PER_UNIT_SHIFT);
    if (this.#units < UNITS_PER_LOOK) {
      return;
    }
    this.#units = 0;
    if (performance.now() - this.#startedMs >= this.#sliceMs) {
      this.over = true;
    }
  }

  /** The member must register only once per slice. */
  flushLater(member: Flushable): void {
    this.#dirty.push(member);
    this.#schedule();
  }

  later(task: Task): void {
    this.#tasks.push(task);
    this.#schedule();
  }

  /**
   * Calls `step` in this and later slices until it returns 0; else it returns the bytes it worked
   * on.
   */
  inSlices(step: () => number): void {
    const task: Task = {
      proceed: () => {
        for (let bytes = step(); bytes > 0; bytes = step()) {
          this.spend(bytes);
          if (this.over) {
            this.later(task);
            return;
          }
        }
      },
    };
    this.later(task);
  }

  /**
   * Runs `work` now or in a later slice, in FIFO order. Starting a request costs as much as
   * forwarding many chunks, so at most half of each slice goes to new requests; running streams get
   * the rest.
   */
  startRequest(work: () => void): void {
    this.begin();
    if (this.#queuedRequests.length === 0 && performance.now() - this.#startedMs < this.#sliceMs / 2) {
      work();
      return;
    }
    this.#queuedRequests.push(work);
    if (this.#queuedRequests.length >= MAX_QUEUED_REQUESTS) {
      this.over = true;
    }
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) {
      return;
    }
    this.#scheduled = true;
    setImmediate(this.#run);
  }

  readonly #run = (): void => {
    this.#scheduled = false;
    this.#flush();
    this.over = false;
    this.#units = 0;
    this.#startedMs = -1;
    if (this.#tasks.length > 0) {
      this.#proceed();
    }
    if (this.#queuedRequests.length > 0) {
      this.#startQueuedRequests();
    }
  };

  #proceed(): void {
    this.#startedMs = performance.now();
    const tasks = this.#tasks;
    this.#tasks = [];
    let done = 0;
    while (done < tasks.length && !this.over) {
      const task = tasks[done++]!;
      try {
        task.proceed();
      } catch (error) {
        this.#handleError(task, error);
      }
    }
    // Tasks that had no turn precede those that want another.
    if (done < tasks.length) {
      this.#tasks = [...tasks.slice(done), ...this.#tasks];
    }
    this.#schedule();
  }

  /**
   * Runs for half a slice of its own, so that requests start whatever arrives, and input is read
   * after it.
   */
  #startQueuedRequests(): void {
    const end = performance.now() + this.#sliceMs / 2;
    let done = 0;
    do {
      this.#queuedRequests[done++]!();
    } while (done < this.#queuedRequests.length && performance.now() < end);
    this.#queuedRequests = this.#queuedRequests.slice(done);
    if (this.#queuedRequests.length >= MAX_QUEUED_REQUESTS) {
      this.over = true;
    }
    this.#schedule();
  }

  #flush(): void {
    if (this.#dirty.length === 0) {
      return;
    }
    const members = this.#dirty;
    this.#dirty = [];
    const leaves = this.#beforeFlush();
    for (const member of members) {
      try {
        if (leaves) {
          member.flush();
        } else {
          member.discard();
        }
      } catch (error) {
        this.#handleError(member, error);
      }
    }
  }

  #handleError(member: { discard?(): void }, error: unknown): void {
    this.#onError(error);
    try {
      member.discard?.();
    } catch (another) {
      this.#onError(another);
    }
  }
}
