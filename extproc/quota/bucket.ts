/** What a bucket is: its quota as it stands now, its current window, and older windows as long as holds of theirs are open. */
import type { Quota } from '../../contract/policy.ts';
import type { HoldPart } from './hold.ts';
import { SlidingSum } from './sliding.ts';
import type { BucketRef } from './store.ts';
import type { WaiterQueue } from './waiter-queue.ts';
import { Calendar, type WindowBounds } from './window.ts';

/** The newest definition of one quota, shared by all of its buckets. */
export interface QuotaDefinition {
  readonly quota: Quota;
  /** Buckets whose states under two definitions can stand for each other have the same kind. */
  readonly kind: string;
  readonly calendar: Calendar | undefined;
}

export function definition(quota: Quota): QuotaDefinition {
  const { window, limit } = quota;
  return {
    quota,
    kind: `${limit.type}/${window.type}`,
    calendar: window.type === 'Calendar' ? new Calendar(window.unit, window.timeZone) : undefined,
  };
}

/** What was charged and is held in one window. Sliding and lifetime quotas have one window for ever. */
export class WindowState {
  readonly id: number;
  readonly bucket: Bucket;
  readonly kind: string;
  readonly #firstLimit: number;
  startMs: number;
  /** Infinity: never. */
  endMs: number;
  /** Charged here, without what was carried in. */
  #charged = 0;
  sliding: SlidingSum | undefined;
  /** Overdrafts of earlier windows that are paid back here. */
  carried = 0;
  /** By how much charges passed the limit. */
  over = 0;
  held = 0;
  openHolds = 0;
  /** Parts of open holds whose output is leased, in no order. */
  readonly leases: HoldPart[] = [];
  /** Which of them was asked last to give back what it does not use. */
  lastAsked = 0;
  /** For the journal: it knows of it; it has a change to write; the bounds are others; nothing of it is needed any more. */
  journaled = false;
  dirty = false;
  reshaped = false;
  gone = false;
  /** The first segment that the journal has not yet. */
  dirtySegment = Number.POSITIVE_INFINITY;

  constructor(id: number, bucket: Bucket, startMs: number, endMs: number, sliding: SlidingSum | undefined) {
    this.id = id;
    this.bucket = bucket;
    this.kind = bucket.definition.kind;
    this.#firstLimit = bucket.limit;
    this.startMs = startMs;
    this.endMs = endMs;
    this.sliding = sliding;
  }

  /** The newest; where the quota counts something else by now, the one that the holds were given under. */
  get limit(): number {
    return this.kind === this.bucket.definition.kind ? this.bucket.limit : this.#firstLimit;
  }

  /** Charged in this window and carried into it. */
  get used(): number {
    return (this.sliding === undefined ? this.#charged : this.sliding.sum) + this.carried;
  }

  get spent(): number {
    return this.sliding === undefined ? this.#charged : this.sliding.sum;
  }

  /** Charges, and gives by how much that passed the limit. */
  charge(tokens: number, atMs: number): number {
    const { limit } = this;
    const before = this.used;
    if (this.sliding === undefined) {
      this.#charged += tokens;
    } else {
      this.dirtySegment = Math.min(this.dirtySegment, this.sliding.add(atMs, tokens));
    }
    const over = Math.max(0, before + tokens - limit) - Math.max(0, before - limit);
    this.over += over;
    return over;
  }

  /** What a later window has to pay back, `passed` windows on; each window between has paid the limit. */
  debt(limit: number, passed: number): number {
    return Math.max(0, Math.max(0, this.carried - limit) + this.over - limit * (passed - 1));
  }

  /** Brings a sliding window up to `atMs`. */
  expire(atMs: number): void {
    if (this.sliding?.expire(atMs)) {
      // Segments can only be taken back from the journal by writing the window anew.
      this.reshaped = true;
      this.bucket.changed(this);
    }
  }

  /** Takes up what a journal kept. */
  restore(spent: number, carried: number, over: number): void {
    this.#charged = spent;
    this.carried = carried;
    this.over = over;
  }

  /** Goes on with other bounds; what was spent stays, holds stay. */
  reshape(bounds: WindowBounds, sliding: SlidingSum | undefined): void {
    this.startMs = bounds.startMs;
    this.endMs = bounds.endMs;
    this.sliding = sliding;
    this.dirtySegment = sliding?.numbers[0] ?? Number.POSITIVE_INFINITY;
    this.reshaped = true;
  }
}

/** Who keeps the buckets. */
export interface BucketHost {
  newWindowId(): number;
  /** Something was carried into this window. */
  changed(window: WindowState): void;
  /** Nothing new is charged here any more, but for holds that are open. */
  ended(window: WindowState): void;
}

export class Bucket {
  readonly key: string;
  readonly values: readonly string[];
  definition: QuotaDefinition;
  ref: BucketRef;
  window: WindowState;
  /** Holds on any of its windows. */
  openHolds = 0;
  /** Admissions that wait for holds of others. */
  line: WaiterQueue | undefined;
  readonly #host: BucketHost;

  constructor(ref: BucketRef, newest: QuotaDefinition, host: BucketHost, atMs: number) {
    this.key = ref.key;
    this.values = ref.values;
    this.definition = newest;
    this.ref = ref.quota === newest.quota ? ref : { ...ref, quota: newest.quota };
    this.#host = host;
    this.window = this.#freshWindow(atMs);
  }

  get limit(): number {
    return this.definition.quota.limit.amount;
  }

  get enforced(): boolean {
    return this.definition.quota.mode === 'Enforce';
  }

  changed(window: WindowState): void {
    this.#host.changed(window);
  }

  /** Brings the current window up to `atMs`. */
  roll(atMs: number): void {
    const { window } = this;
    if (window.sliding !== undefined) {
      window.expire(atMs);
      return;
    }
    const calendar = this.definition.calendar;
    if (calendar === undefined || (atMs < window.endMs && !turnedBack(window, calendar, atMs))) {
      return;
    }
    this.window = this.#freshWindow(atMs);
    this.window.carried = window.debt(this.limit, Math.max(1, calendar.apart(window.startMs, this.window.startMs)));
    if (this.window.carried > 0) {
      this.#host.changed(this.window);
    }
    this.#host.ended(window);
  }

  /** Forgets what was spent. Holds stay. */
  reset(): void {
    const { window } = this;
    window.restore(0, 0, 0);
    window.reshape(window, window.sliding === undefined ? undefined : new SlidingSum(window.sliding.durationMs));
    this.#host.changed(window);
  }

  /** Goes on under a newer definition. What was spent stays, unless it was counted in another way. */
  adopt(newest: QuotaDefinition, atMs: number): void {
    this.roll(atMs);
    const old = this.definition;
    const { window } = this;
    this.definition = newest;
    this.ref = { ...this.ref, quota: newest.quota };
    if (newest.kind !== old.kind) {
      this.window = this.#freshWindow(atMs);
      this.#host.ended(window);
    } else if (JSON.stringify(old.quota.window) !== JSON.stringify(newest.quota.window)) {
      window.reshape(this.#boundsAt(atMs), window.sliding?.under(this.#durationMs, atMs));
      this.#host.changed(window);
    }
  }

  /** An overdraft of a window that has ended is paid back by the current one. */
  carryOverdraft(window: WindowState, over: number): void {
    const isPast = window !== this.window && window.kind === this.definition.kind;
    if (isPast && over > 0 && this.definition.calendar !== undefined) {
      this.window.carried += over;
      this.#host.changed(this.window);
    }
  }

  #freshWindow(atMs: number): WindowState {
    const { startMs, endMs } = this.#boundsAt(atMs);
    const sliding = this.definition.quota.window.type === 'Sliding' ? new SlidingSum(this.#durationMs) : undefined;
    return new WindowState(this.#host.newWindowId(), this, startMs, endMs, sliding);
  }

  #boundsAt(atMs: number): WindowBounds {
    return this.definition.calendar?.at(atMs) ?? always;
  }

  get #durationMs(): number {
    const { window } = this.definition.quota;
    return window.type === 'Sliding' ? window.durationMs : 0;
  }
}

const always: WindowBounds = { startMs: 0, endMs: Number.POSITIVE_INFINITY };

/** In how many milliseconds a demand fits if nothing else is charged; undefined: never. */
export function retryAfterMs(bucket: Bucket, need: number, atMs: number): number | undefined {
  const { window, limit, definition } = bucket;
  if (need > limit) {
    return undefined;
  }
  if (window.sliding !== undefined) {
    return Math.max(1, window.sliding.fallsToAtMs(limit - need, atMs) - atMs);
  }
  if (definition.calendar === undefined) {
    return undefined;
  }
  const more = Math.max(0, Math.ceil((window.debt(limit, 1) + need - limit) / limit));
  return Math.max(1, window.endMs - atMs) + more * definition.calendar.lengthMs;
}

/** A clock that is set back a little stays in the window, or what was spent in it would be forgotten; one that was far ahead must not block for years. */
function turnedBack(window: WindowState, calendar: Calendar, atMs: number): boolean {
  return atMs < window.startMs - 2 * calendar.lengthMs;
}
