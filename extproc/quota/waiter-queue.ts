/** Requests that wait for holds of others, first in, first out. Putting in, taking out and removing from the middle cost the same, however long it is. */
import type { Bucket } from './bucket.ts';
import type { Cancel } from './store.ts';

export class Waiter {
  /** Counts up over all queues: who came first. */
  readonly arrival: number;
  /** Looks again: gives what is left to say to the session, or the bucket for which it has to wait. */
  readonly decide: (atMs: number) => (() => void) | Bucket;
  /** Its time is over. */
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

export class WaiterQueue {
  first: Waiter | undefined;
  last: Waiter | undefined;
  size = 0;

  /** Puts it in by arrival; who comes from another queue may have to pass some that came later. */
  put(waiter: Waiter): void {
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
    this.size++;
  }

  remove(waiter: Waiter): void {
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
    this.size--;
  }
}
