/**
 * The admissions that wait until other requests release what they hold. Within the queue of a
 * bucket, order is FIFO and later requests never overtake. A release inspects only the head, so
 * each waiter costs O(1). Open streams never wait, because their providers would send on.
 */
import type { Bucket } from './bucket.ts';
import type { Cancel } from './store.ts';
import { type Progress, Waiter, WaiterQueue } from './waiter-queue.ts';

export interface WaitListOptions {
  /**
   * The most requests that wait for one bucket, and for all buckets together; further ones are
   * refused at once.
   */
  readonly maxWaitingPerBucket: number;
  readonly maxWaiting: number;
  readonly nowMs: () => number;
  /** Calls back once after `delayMs`; the result cancels that. */
  readonly schedule: (delayMs: number, callback: () => void) => Cancel;
  /**
   * Receives what the callback of a waiting session threw, so that the session whose release woke
   * it is not hit.
   */
  readonly onError: (error: unknown) => void;
}

/** The shortest interval between two checks of a queue that only the clock causes. */
const MIN_CHECK_MS = 50;
/** Timers of Node hold 31 bits of milliseconds; nothing waits this long. */
const MAX_CHECK_MS = 3_600_000;

export class WaitList {
  #arrivals = 0;
  readonly #options: WaitListOptions;
  #waiting = 0;
  readonly #queues = new Map<Bucket, WaiterQueue<Waiter>>();
  /** The next check of each bucket whose window changes with time. */
  readonly #checks = new Map<Bucket, Cancel>();
  /** Buckets in which something was released since the last `advance`. */
  readonly #freed: Bucket[] = [];
  #advancing = false;

  constructor(options: WaitListOptions) {
    this.#options = options;
  }

  arrive(): number {
    return ++this.#arrivals;
  }

  /** Whether requests that arrived before `arrival` wait for the bucket. */
  isBehind(bucket: Bucket, arrival: number): boolean {
    const first = bucket.waiting === 0 ? undefined : this.#queues.get(bucket)?.first;
    return first !== undefined && first.arrival < arrival;
  }

  /** Queues an admission; undefined where there is no time or no room to wait. */
  wait(
    bucket: Bucket,
    arrival: number,
    waitMs: number,
    decide: Waiter['decide'],
    giveUp: Waiter['giveUp'],
  ): Waiter | undefined {
    const { maxWaiting, maxWaitingPerBucket, schedule } = this.#options;
    if (waitMs <= 0 || this.#waiting >= maxWaiting || bucket.waiting >= maxWaitingPerBucket) {
      return undefined;
    }
    const waiter = new Waiter(arrival, decide, giveUp);
    waiter.cancelTimer = schedule(waitMs, () => this.#guard(() => this.#timedOut(waiter)));
    this.#waiting++;
    this.#enqueue(waiter, bucket);
    return waiter;
  }

  /** Removes a waiter without an answer. Requests behind it may now fit. */
  cancel(waiter: Waiter): void {
    const { bucket } = waiter;
    if (bucket !== undefined) {
      this.#remove(waiter);
      this.released(bucket);
      this.advance();
    }
  }

  /** Notes that something was released in a bucket; `advance` checks its queue. */
  released(bucket: Bucket): void {
    if (bucket.waiting > 0) {
      this.#freed.push(bucket);
    }
  }

  /**
   * Answers every waiter that fits now. Sessions may call back into the list; such calls only add
   * to `#freed`.
   */
  advance(): void {
    if (this.#advancing) {
      return;
    }
    this.#advancing = true;
    try {
      for (let bucket = this.#freed.pop(); bucket !== undefined; bucket = this.#freed.pop()) {
        while (this.#advanceHead(bucket)) {
          // The next head may fit, too.
        }
      }
    } finally {
      this.#advancing = false;
    }
  }

  close(): void {
    for (const queue of this.#queues.values()) {
      for (let waiter = queue.first; waiter !== undefined; waiter = waiter.next) {
        waiter.cancelTimer?.();
      }
    }
    this.#queues.clear();
    for (const cancel of this.#checks.values()) {
      cancel();
    }
    this.#checks.clear();
  }

  /** Returns whether the head has left the queue. */
  #advanceHead(bucket: Bucket): boolean {
    const waiter = this.#queues.get(bucket)?.first;
    if (waiter === undefined) {
      return false;
    }
    const next = this.#decide(waiter, this.#options.nowMs());
    if (next.type === 'decided') {
      this.#answer(waiter, next.answer);
      return true;
    }
    if (next.bucket === bucket) {
      return false;
    }
    this.#unqueue(waiter);
    this.#enqueue(waiter, next.bucket);
    return true;
  }

  #timedOut(waiter: Waiter): void {
    const { bucket } = waiter;
    if (bucket === undefined) {
      return;
    }
    const nowMs = this.#options.nowMs();
    const next = this.#decide(waiter, nowMs);
    this.#answer(waiter, next.type === 'decided' ? next.answer : () => waiter.giveUp(nowMs));
    this.released(bucket);
    this.advance();
  }

  #answer(waiter: Waiter, answer: () => void): void {
    this.#remove(waiter);
    this.#guard(answer);
  }

  /**
   * A waiter whose decision throws gives up, so that the session whose release woke it is not hit.
   */
  #decide(waiter: Waiter, nowMs: number): Progress {
    try {
      return waiter.decide(nowMs);
    } catch (error) {
      this.#options.onError(error);
      return { type: 'decided', answer: () => waiter.giveUp(nowMs) };
    }
  }

  /** Runs work of a session other than the caller's. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#options.onError(error);
    }
  }

  #enqueue(waiter: Waiter, bucket: Bucket): void {
    let queue = this.#queues.get(bucket);
    if (queue === undefined) {
      queue = new WaiterQueue<Waiter>();
      this.#queues.set(bucket, queue);
    }
    queue.put(waiter);
    bucket.waiting++;
    waiter.bucket = bucket;
    this.#scheduleCheck(bucket);
  }

  #remove(waiter: Waiter): void {
    waiter.cancelTimer?.();
    this.#waiting--;
    this.#unqueue(waiter);
  }

  #unqueue(waiter: Waiter): void {
    const { bucket } = waiter;
    if (bucket === undefined) {
      return;
    }
    this.#queues.get(bucket)?.remove(waiter);
    waiter.bucket = undefined;
    if (--bucket.waiting === 0) {
      this.#queues.delete(bucket);
      this.#cancelCheck(bucket);
    }
  }

  /**
   * Schedules a check, because no release wakes the queue where time alone makes room (a new
   * window, an expired segment).
   */
  #scheduleCheck(bucket: Bucket): void {
    if (this.#checks.has(bucket)) {
      return;
    }
    const { window } = bucket;
    const delayMs = window.sliding?.segmentMs ?? window.endMs - this.#options.nowMs();
    if (!Number.isFinite(delayMs)) {
      return;
    }
    const check = () => {
      this.#checks.delete(bucket);
      bucket.roll(this.#options.nowMs());
      this.released(bucket);
      this.advance();
      if (bucket.waiting > 0) {
        this.#scheduleCheck(bucket);
      }
    };
    const inMs = Math.min(MAX_CHECK_MS, Math.max(MIN_CHECK_MS, delayMs));
    this.#checks.set(
      bucket,
      this.#options.schedule(inMs, () => this.#guard(check)),
    );
  }

  #cancelCheck(bucket: Bucket): void {
    this.#checks.get(bucket)?.();
    this.#checks.delete(bucket);
  }
}
