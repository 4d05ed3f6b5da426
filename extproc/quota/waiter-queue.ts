/**
 * A FIFO queue of admissions that wait for holds of others: a linked list, so that removal from the
 * middle is O(1).
 */
import type { Bucket } from './bucket.ts';
import type { Cancel } from './store.ts';

/** An admission that has to wait for what is held in a bucket. */
export interface Blocked {
  readonly type: 'blocked';
  readonly bucket: Bucket;
}

/** What a waiting admission comes to when it is decided again. */
export type Progress = { readonly type: 'decided'; readonly answer: () => void } | Blocked;

/** An element of a queue. */
export interface Queued<W> {
  /** The order of arrival over all queues. */
  readonly arrival: number;
  previous: W | undefined;
  next: W | undefined;
}

export class Waiter implements Queued<Waiter> {
  readonly arrival: number;
  /** Decides again. `answer` tells the session. */
  readonly decide: (atMs: number) => Progress;
  /** Refuses the request, because its queue timeout has passed. */
  readonly giveUp: (atMs: number) => void;
  bucket: Bucket | undefined;
  previous: Waiter | undefined;
  next: Waiter | undefined;
  cancelTimer: Cancel | undefined;

  constructor(arrival: number, decide: Waiter['decide'], giveUp: Waiter['giveUp']) {
    this.arrival = arrival;
    this.decide = decide;
    this.giveUp = giveUp;
  }
}

export class WaiterQueue<W extends Queued<W>> {
  first: W | undefined;
  last: W | undefined;

  /** Inserts by arrival: a waiter from another queue may precede some that arrived later. */
  put(waiter: W): void {
    let before = this.last;
    while (before !== undefined && before.arrival > waiter.arrival) {
      before = before.previous;
    }
    const after = before === undefined ? this.first : before.next;
    waiter.previous = before;
    waiter.next = after;
    if (before === undefined) {
      this.first = waiter;
    } else {
      before.next = waiter;
    }
    if (after === undefined) {
      this.last = waiter;
    } else {
      after.previous = waiter;
    }
  }

  remove(waiter: W): void {
    const { previous, next } = waiter;
    if (previous === undefined) {
      this.first = next;
    } else {
      previous.next = next;
    }
    if (next === undefined) {
      this.last = previous;
    } else {
      next.previous = previous;
    }
    waiter.previous = undefined;
    waiter.next = undefined;
  }
}
