/**
 * The streams of a connection that wait to send, in their order. Uses arrays and marks on the
 * streams instead of a `Set`, for the reason given in `IntegerTable`.
 */

export interface Sender {
  /** Index among the waiting streams; -1 if not waiting. */
  waitingAt: number;
  /** Whether the stream is queued to send. */
  ready: boolean;
}

/** Stale queue entries that are tolerated, beside as many as are ready. */
const MAX_STALE = 64;

export class SendOrder<Stream extends Sender> {
  /** Streams with unsent bytes or an end to send. */
  readonly waiting: Stream[] = [];
  /** The number of streams that their own window does not block. */
  readyCount = 0;
  /** In sending order. Entries that are not `ready` any more are skipped. */
  #queue: Stream[] = [];
  #first = 0;

  /** Queue entries, including stale ones. */
  get queuedCount(): number {
    return this.#queue.length - this.#first;
  }

  add(stream: Stream): void {
    if (stream.waitingAt < 0) {
      stream.waitingAt = this.waiting.push(stream) - 1;
    }
    this.wake(stream);
  }

  delete(stream: Stream): void {
    if (stream.ready) {
      stream.ready = false;
      this.readyCount--;
    }
    const { waitingAt } = stream;
    if (waitingAt < 0) {
      return;
    }
    stream.waitingAt = -1;
    const last = this.waiting.pop()!;
    if (last === stream) {
      return;
    }
    this.waiting[waitingAt] = last;
    last.waitingAt = waitingAt;
  }

  /** Queues a waiting stream. */
  wake(stream: Stream): void {
    if (stream.ready || stream.waitingAt < 0) {
      return;
    }
    stream.ready = true;
    this.readyCount++;
    this.#queue.push(stream);
    if (this.#queue.length - this.#first > 2 * this.readyCount + MAX_STALE) {
      this.#tidy();
    }
  }

  /** Returns the next ready stream, which is then not ready any more. */
  next(): Stream | undefined {
    while (this.#first < this.#queue.length) {
      const stream = this.#queue[this.#first++]!;
      if (!stream.ready) {
        continue;
      }
      stream.ready = false;
      this.readyCount--;
      if (this.readyCount === 0) {
        this.#tidy();
      }
      return stream;
    }
    return undefined;
  }

  #tidy(): void {
    this.#queue = this.readyCount === 0 ? [] : this.#queue.slice(this.#first).filter(({ ready }) => ready);
    this.#first = 0;
  }
}
