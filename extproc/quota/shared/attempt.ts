/** Admissions and extensions that wait for answers of the shared store. */
import type { BucketRef, Cancel } from '../store.ts';
import { type Queued, WaiterQueue } from '../waiter-queue.ts';

/** What waits for more of one window. */
export class AttemptLine {
  /** Admissions, in the order of their arrival. */
  readonly queue = new WaiterQueue<StoreAttempt>();
  /** What the admissions usually start with. */
  queuedUnits = 0;
  extensions: StoreAttempt[] = [];
  isAdvancing = false;
  cancelPoll: Cancel | undefined;

  get isEmpty(): boolean {
    return this.queue.first === undefined && this.extensions.length === 0;
  }
}

/** A window that has too little, and the units with which the attempt usually starts. */
export interface Short {
  readonly line: AttemptLine;
  readonly units: number;
}

/**
 * What the allowances say of an attempt:
 * - `decide`: they suffice, or nothing can help.
 * - `lost`: the shared store does not answer, and what may be spent without it is used up.
 * - otherwise the windows whose next answer may help.
 */
export type Shortage = 'decide' | { readonly lost: BucketRef } | readonly Short[];

export class StoreAttempt implements Queued<StoreAttempt> {
  readonly arrival: number;
  /** Looks again, and asks for what is missing. */
  readonly look: () => Shortage;
  /** Decides with what there is. */
  readonly decide: (shortage: Shortage) => void;
  /** Where an admission waits. */
  place: Short | undefined;
  previous: StoreAttempt | undefined;
  next: StoreAttempt | undefined;
  cancelTimer: Cancel | undefined;
  isOver = false;

  constructor(arrival: number, look: StoreAttempt['look'], decide: StoreAttempt['decide']) {
    this.arrival = arrival;
    this.look = look;
    this.decide = decide;
  }
}
