/**
 * Requests that wait to be let in, until others release what they hold. Within a line, who came first is answered first, and no later request passes it. A
 * release looks at the head of a line only, so that each waiter costs a constant number of looks. Open streams never wait: their providers would go on.
 */
import type { Bucket } from './bucket.ts';
import type { Cancel } from './store.ts';
import { Waiter, WaiterQueue } from './waiter-queue.ts';

export interface WaitListOptions {
  /** Requests that wait for one bucket, and for all together; one more is refused at once. */
  readonly maxWaitingPerBucket: number;
  readonly maxWaiting: number;
  readonly nowMs: () => number;
  /** Calls back once after `delayMs`; what it gives takes that back. */
  readonly schedule: (delayMs: number, callback: () => void) => Cancel;
  /** The callback of a waiting session threw: that must not hit the session whose release woke it. */
  readonly onError: (error: unknown) => void;
}

/** The least time between two looks at a line for the sake of the clock alone. */
const minLookMs = 50;
/** Timers of Node hold 31 bits of milliseconds; nobody waits so long. */
const maxLookMs = 3_600_000;

export class WaitList {
  #arrivals = 0;
  readonly #options: WaitListOptions;
  readonly #waiters = new Set<Waiter>();
  /** The next look at the line of a bucket whose window changes with time. */
  readonly #looks = new Map<Bucket, Cancel>();
  /** Buckets in which something was released. */
  readonly #freed: Bucket[] = [];
  #advancing = false;

  constructor(options: WaitListOptions) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  arrive(): number {
    return ++this.#arrivals;
  }

  /** Puts it in line; undefined where there is no time or no room to wait. */
  wait(
    bucket: Bucket,
    arrival: number,
    waitMs: number,
    decide: Waiter['decide'],
    giveUp: Waiter['giveUp'],
  ): Waiter | undefined {
    const { maxWaiting, maxWaitingPerBucket, schedule } = this.#options;
    if (waitMs <= 0 || this.waiting >= maxWaiting || (bucket.line?.size ?? 0) >= maxWaitingPerBucket) {
      return undefined;
    }
    const waiter = new Waiter(arrival, decide, giveUp);
    waiter.cancelTimer = schedule(waitMs, () => this.#guard(() => this.#timeIsOver(waiter)));
    this.#waiters.add(waiter);
    this.#put(waiter, bucket);
    return waiter;
  }

  /** It is not to be answered any more. Those behind it may go on. */
  cancel(waiter: Waiter): void {
    const { bucket } = waiter;
    if (bucket !== undefined) {
      this.#remove(waiter);
      this.released(bucket);
      this.advance();
    }
  }

  /** Something was released there; `advance` looks at who waits for it. */
  released(bucket: Bucket): void {
    if (bucket.line !== undefined) {
      this.#freed.push(bucket);
    }
  }

  /** Answers who can be answered now. Sessions may come back with new calls from within; those only add to the list. */
  advance(): void {
    if (this.#advancing) {
      return;
    }
    this.#advancing = true;
    try {
      for (let bucket = this.#freed.pop(); bucket !== undefined; bucket = this.#freed.pop()) {
        while (this.#advanceHead(bucket)) {
          // Goes on with the next one.
        }
      }
    } finally {
      this.#advancing = false;
    }
  }

  close(): void {
    for (const waiter of this.#waiters) {
      waiter.cancelTimer?.();
    }
    this.#waiters.clear();
    for (const cancel of this.#looks.values()) {
      cancel();
    }
    this.#looks.clear();
  }

  /** True: the head has left this line. */
  #advanceHead(bucket: Bucket): boolean {
    const waiter = bucket.line?.first;
    if (waiter === undefined) {
      return false;
    }
    const next = this.#decide(waiter, this.#options.nowMs());
    if (typeof next === 'function') {
      this.#answer(waiter, next);
      return true;
    }
    if (next === bucket) {
      return false;
    }
    this.#leave(waiter);
    this.#put(waiter, next);
    return true;
  }

  #timeIsOver(waiter: Waiter): void {
    const { bucket } = waiter;
    if (bucket === undefined) {
      return;
    }
    const nowMs = this.#options.nowMs();
    const next = this.#decide(waiter, nowMs);
    this.#answer(waiter, typeof next === 'function' ? next : () => waiter.giveUp(nowMs));
    this.released(bucket);
    this.advance();
  }

  #answer(waiter: Waiter, say: () => void): void {
    this.#remove(waiter);
    this.#guard(say);
  }

  /** A waiter that cannot be judged gives up: its fault is not that of the session whose release woke it. */
  #decide(waiter: Waiter, nowMs: number): (() => void) | Bucket {
    try {
      return waiter.decide(nowMs);
    } catch (error) {
      this.#options.onError(error);
      return () => waiter.giveUp(nowMs);
    }
  }

  /** For what runs on behalf of a session that is not the caller. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#options.onError(error);
    }
  }

  #put(waiter: Waiter, bucket: Bucket): void {
    bucket.line ??= new WaiterQueue();
    bucket.line.put(waiter);
    waiter.bucket = bucket;
    this.#lookLater(bucket);
  }

  #remove(waiter: Waiter): void {
    waiter.cancelTimer?.();
    this.#waiters.delete(waiter);
    this.#leave(waiter);
  }

  #leave(waiter: Waiter): void {
    const { bucket } = waiter;
    if (bucket?.line !== undefined) {
      bucket.line.remove(waiter);
      waiter.bucket = undefined;
      if (bucket.line.size === 0) {
        bucket.line = undefined;
        this.#stopLooking(bucket);
      }
    }
  }

  /** Where time alone makes room (the next window, a segment that leaves), no release wakes the line. */
  #lookLater(bucket: Bucket): void {
    if (this.#looks.has(bucket)) {
      return;
    }
    const { window } = bucket;
    const delayMs = window.sliding?.segmentMs ?? window.endMs - this.#options.nowMs();
    if (!Number.isFinite(delayMs)) {
      return;
    }
    const look = () => {
      this.#looks.delete(bucket);
      bucket.roll(this.#options.nowMs());
      this.released(bucket);
      this.advance();
      if (bucket.line !== undefined) {
        this.#lookLater(bucket);
      }
    };
    const inMs = Math.min(maxLookMs, Math.max(minLookMs, delayMs));
    this.#looks.set(
      bucket,
      this.#options.schedule(inMs, () => this.#guard(look)),
    );
  }

  #stopLooking(bucket: Bucket): void {
    this.#looks.get(bucket)?.();
    this.#looks.delete(bucket);
  }
}
