/**
 * Who waits for holds of others. Extensions of open streams stand before admissions; within a line, who came first is answered first, and no later
 * request passes it. A release looks at the head of a line only, so that each waiter costs a constant number of looks.
 */
import { type Bucket, type Place, WindowState } from './bucket.ts';
import { Waiter, WaiterQueue } from './queue.ts';
import type { Cancel } from './store.ts';

export interface LineOptions {
  /** Requests that wait for one bucket, and for all together; one more is refused at once. */
  readonly maxWaitingInLine: number;
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

export class Lines {
  private arrivals = 0;
  private readonly options: LineOptions;
  private readonly waiters = new Set<Waiter<Place>>();
  /** The next look at the line of a bucket whose window changes with time. */
  private readonly looks = new Map<Bucket, Cancel>();
  /** Windows in which something was released. */
  private readonly freed: WindowState[] = [];
  private advancing = false;

  constructor(options: LineOptions) {
    this.options = options;
  }

  get waiting(): number {
    return this.waiters.size;
  }

  arrive(): number {
    return ++this.arrivals;
  }

  /** Puts it in line; undefined where there is no time or no room to wait, or nobody left who could release anything. */
  wait(
    place: Place,
    arrival: number,
    waitMs: number,
    decide: Waiter<Place>['decide'],
    giveUp: Waiter<Place>['giveUp'],
  ): Waiter<Place> | undefined {
    const { maxWaiting, maxWaitingInLine, schedule } = this.options;
    if (waitMs <= 0 || this.waiting >= maxWaiting || (place.line?.size ?? 0) >= maxWaitingInLine) {
      return undefined;
    }
    if (place instanceof WindowState && (place.line?.size ?? 0) + 1 >= place.openHolds) {
      return undefined;
    }
    const waiter = new Waiter<Place>(arrival, decide, giveUp);
    waiter.cancelTimer = schedule(waitMs, () => this.guard(() => this.timeIsOver(waiter)));
    this.waiters.add(waiter);
    this.put(waiter, place);
    return waiter;
  }

  /** It is not to be answered any more. Those behind it may go on. */
  cancel(waiter: Waiter<Place>): void {
    const { place } = waiter;
    if (place !== undefined) {
      this.remove(waiter);
      this.released(place);
      this.advance();
    }
  }

  /** Something was released there; `advance` looks at who waits for it. */
  released(place: Place): void {
    const window = place instanceof WindowState ? place : bucketOf(place).window;
    if (window.line !== undefined || window.bucket.line !== undefined) {
      this.freed.push(window);
    }
  }

  /** Answers who can be answered now. Sessions may come back with new calls from within; those only add to the list. */
  advance(): void {
    if (this.advancing) {
      return;
    }
    this.advancing = true;
    try {
      for (let window = this.freed.pop(); window !== undefined; window = this.freed.pop()) {
        this.advanceWindow(window);
      }
    } finally {
      this.advancing = false;
    }
  }

  close(): void {
    for (const waiter of this.waiters) {
      waiter.cancelTimer?.();
    }
    this.waiters.clear();
    for (const cancel of this.looks.values()) {
      cancel();
    }
    this.looks.clear();
  }

  private advanceWindow(window: WindowState): void {
    const { bucket } = window;
    for (;;) {
      while (this.advanceHead(window)) {
        // Goes on with the next one.
      }
      const last = window.line?.last;
      if (last === undefined || (window.line?.size ?? 0) < window.openHolds) {
        break;
      }
      // All who have a share of what is left wait for each other: one has to end, so that the others get the rest.
      this.answer(last, () => last.giveUp(this.options.nowMs()));
    }
    if (window.line === undefined && bucket.window === window) {
      while (this.advanceHead(bucket)) {
        // Goes on with the next one.
      }
    }
  }

  /** True: the head has left this line. */
  private advanceHead(place: Place): boolean {
    const waiter = place.line?.first;
    if (waiter === undefined) {
      return false;
    }
    const next = this.decide(waiter, this.options.nowMs());
    if (typeof next === 'function') {
      this.answer(waiter, next);
      return true;
    }
    if (next === place) {
      return false;
    }
    this.leave(waiter);
    this.put(waiter, next);
    return true;
  }

  private timeIsOver(waiter: Waiter<Place>): void {
    const { place } = waiter;
    if (place === undefined) {
      return;
    }
    const nowMs = this.options.nowMs();
    const next = this.decide(waiter, nowMs);
    this.answer(waiter, typeof next === 'function' ? next : () => waiter.giveUp(nowMs));
    this.released(place);
    this.advance();
  }

  private answer(waiter: Waiter<Place>, say: () => void): void {
    this.remove(waiter);
    this.guard(say);
  }

  /** A waiter that cannot be judged gives up: its fault is not that of the session whose release woke it. */
  private decide(waiter: Waiter<Place>, nowMs: number): (() => void) | Place {
    try {
      return waiter.decide(nowMs);
    } catch (error) {
      this.options.onError(error);
      return () => waiter.giveUp(nowMs);
    }
  }

  /** For what runs on behalf of a session that is not the caller. */
  private guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.options.onError(error);
    }
  }

  private put(waiter: Waiter<Place>, place: Place): void {
    place.line ??= new WaiterQueue<Place>();
    place.line.put(waiter);
    waiter.place = place;
    const bucket = bucketOf(place);
    if (bucket === place || bucket.window.sliding !== undefined) {
      this.lookLater(bucket);
    }
  }

  private remove(waiter: Waiter<Place>): void {
    waiter.cancelTimer?.();
    this.waiters.delete(waiter);
    this.leave(waiter);
  }

  private leave(waiter: Waiter<Place>): void {
    const { place } = waiter;
    if (place?.line !== undefined) {
      place.line.remove(waiter);
      waiter.place = undefined;
      if (place.line.size === 0) {
        place.line = undefined;
        this.stopLooking(place);
      }
    }
  }

  /** Where time alone makes room (the next window, a segment that leaves), no release wakes the line. */
  private lookLater(bucket: Bucket): void {
    if (this.looks.has(bucket)) {
      return;
    }
    const { window } = bucket;
    const delayMs = window.sliding?.segmentMs ?? window.endMs - this.options.nowMs();
    if (!Number.isFinite(delayMs)) {
      return;
    }
    const look = () => {
      this.looks.delete(bucket);
      bucket.roll(this.options.nowMs());
      this.released(bucket.window);
      this.advance();
      if (hasLine(bucket)) {
        this.lookLater(bucket);
      }
    };
    const inMs = Math.min(maxLookMs, Math.max(minLookMs, delayMs));
    this.looks.set(
      bucket,
      this.options.schedule(inMs, () => this.guard(look)),
    );
  }

  private stopLooking(place: Place): void {
    const bucket = bucketOf(place);
    if (!hasLine(bucket)) {
      this.looks.get(bucket)?.();
      this.looks.delete(bucket);
    }
  }
}

function bucketOf(place: Place): Bucket {
  return place instanceof WindowState ? place.bucket : place;
}

function hasLine(bucket: Bucket): boolean {
  return bucket.line !== undefined || bucket.window.line !== undefined;
}
