/**
 * One pass of the event loop. Work is done until its slice of time is used up; what was written is then journaled and flushed together, for all
 * connections, and only then the next slice begins.
 */

export interface Flushable {
  flush(): void;
  /** The journal could not be written, or the flush failed: nothing more may leave. */
  discard(): void;
}

export interface Task {
  /** Works until it is done or the turn is over; in the latter case it asks for `later` again. */
  proceed(): void;
  /** It has failed, and is not called again. */
  discard?(): void;
}

/** The clock is read once in that many units of work: a message is one, and so are 2 KB. What stands in 8 KB may take milliseconds, so it is read after each. */
const UNITS_PER_LOOK = 4;
const BYTES_PER_UNIT_SHIFT = 11;

/** With so many waiting nothing is read, so that what a peer has sent is seen by flow control. */
const MAX_QUEUED_REQUESTS = 256;

export class LoopSlice {
  /** The slice is used up, or too much waits. */
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
   * `prepare` runs before each flush; where it returns false, what was to be flushed is discarded. `fault` hears what members throw: nobody else would, and
   * it must not end the process.
   */
  constructor(sliceMs: number, prepare: () => boolean, fault: (error: unknown) => void) {
    this.#sliceMs = sliceMs;
    this.#beforeFlush = prepare;
    this.#onError = fault;
  }

  /** Work begins: the first of a turn starts its time. */
  begin(): void {
    if (this.#startedMs >= 0) {
      return;
    }
    this.#startedMs = performance.now();
    this.#schedule();
  }

  /** A message of that many bytes has been worked on. */
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

  /** The member must see to it that it is listed once. */
  flushLater(member: Flushable): void {
    this.#dirty.push(member);
    this.#schedule();
  }

  later(task: Task): void {
    this.#tasks.push(task);
    this.#schedule();
  }

  /**
   * Lets a request in: at once, or in a later slice; in order. It is as much work as many chunks of answers, and in a burst of requests the chunks of those
   * that were in came late: half of a slice is for requests, and then what else has come is read first.
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
    // Those that had no turn come before those that want another.
    if (done < tasks.length) {
      this.#tasks = [...tasks.slice(done), ...this.#tasks];
    }
    this.#schedule();
  }

  /** Half a slice of its own: requests are let in whatever comes, and what comes is read. */
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
