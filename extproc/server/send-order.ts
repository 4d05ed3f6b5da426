/**
 * Which streams of a connection wait to send, and whose turn it is. Arrays and marks on the streams, not a `Set`, for the reason given in `StreamTable`.
 */

export interface Sender {
  /** Where it stands among those that wait; -1: nowhere. */
  waitingAt: number;
  /** It is in the queue of those that may send. */
  ready: boolean;
}

/** So many that left without a turn may stand in the queue, beside as many as are ready. */
const MAX_STALE = 64;

export class SendOrder<Stream extends Sender> {
  /** Streams that have unsent bytes or an end to send. */
  readonly waiting: Stream[] = [];
  /** How many of them their own window does not stop. */
  readyCount = 0;
  /** In order of their turns; one that is not `ready` any more is passed over. */
  #queue: Stream[] = [];
  #first = 0;

  /** Entries of the queue, including streams that have left and are not removed yet. */
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

  /** It may send, if it waits. */
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

  /** The next one that may send; it is not ready any more. */
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
