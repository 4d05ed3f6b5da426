/**
 * A bucket: the current definition of its quota, its current window, older windows while holds on
 * them are open, and those holds. They refer to each other, and thus share a file.
 */
import { amountOf } from '../quota-conditions.ts';
import type { QuotaDefinition } from './quota-definition.ts';
import { SlidingSum } from './sliding.ts';
import type { BucketRef, BudgetAlert, BudgetTimes, Hold, Holder, Overdraft } from './store.ts';
import { shownAmount, unitNoun } from './units.ts';
import type { UsageHold, UsageSubject } from './usage-record.ts';
import type { WindowBounds } from './window.ts';
import type { WindowShare } from './window-share.ts';

/** What is charged and held in one window. A sliding or lifetime quota has a single window. */
export class WindowState {
  readonly id: number;
  readonly bucket: Bucket;
  readonly kind: string;
  readonly returnsHolds: boolean;
  readonly #firstLimit: number;
  startMs: number;
  /** Infinity: never. */
  endMs: number;
  /** When each threshold was reached last. */
  #alertedMs: Map<number, number> | undefined;
  /** Charged in this window, without what was carried in. */
  #charged = 0;
  sliding: SlidingSum | undefined;
  /** Overdrafts of earlier windows, to be paid back in this one. */
  carried = 0;
  /** The units by which charges passed the limit. */
  over = 0;
  held = 0;
  /** What an operator added to the limit, and when that ends; Infinity: with the window. */
  granted = 0;
  grantedUntilMs = Number.POSITIVE_INFINITY;
  /** Undefined: only this process counts in the window. */
  share: WindowShare | undefined;
  openHolds = 0;
  /** Parts of open holds whose output is leased, unordered. */
  readonly leases: HoldPart[] = [];
  /** The index of the lease that was asked last to give back what is unused. */
  lastAsked = 0;

  constructor(id: number, bucket: Bucket, startMs: number, endMs: number, sliding: SlidingSum | undefined) {
    this.id = id;
    this.bucket = bucket;
    this.kind = bucket.definition.kind;
    this.returnsHolds = bucket.definition.returnsHolds;
    this.#firstLimit = bucket.amount;
    this.startMs = startMs;
    this.endMs = endMs;
    this.sliding = sliding;
  }

  /** The newest limit; or the first one, where the quota now counts another way. */
  get limit(): number {
    if (this.share !== undefined) {
      return this.share.limit;
    }
    return (this.kind === this.bucket.definition.kind ? this.bucket.amount : this.#firstLimit) + this.granted;
  }

  /** The most that this process may charge and hold. */
  get budget(): number {
    return this.share === undefined ? this.limit : this.share.budget;
  }

  /** What all processes have spent of the window. */
  get total(): number {
    return this.share === undefined ? this.used : this.share.spentWith(this.used);
  }

  /** What is left of the limit beyond what all processes spent, hold and may spend. */
  get remaining(): number {
    const { share, used, held } = this;
    return Math.max(0, share === undefined ? this.limit - used - held : share.remainingWith(used, held));
  }

  /**
   * Charged in this window or carried into it. Where the window is shared: charged by this process,
   * and never less, also if the window slides.
   */
  get used(): number {
    return (this.sliding === undefined ? this.#charged : this.sliding.sum) + this.carried;
  }

  get spent(): number {
    return this.sliding === undefined ? this.#charged : this.sliding.sum;
  }

  /** When what is spent counts. */
  get times(): BudgetTimes {
    const { sliding, share, startMs, endMs } = this;
    if (sliding !== undefined) {
      const [first] = sliding.numbers;
      return slidingTimes(first === undefined ? undefined : first * sliding.segmentMs, sliding.durationMs);
    }
    if (share !== undefined && share.slidingMs > 0) {
      return slidingTimes(share.countedSinceMs, share.slidingMs);
    }
    return Number.isFinite(endMs) ? { startMs, endMs } : { startMs: undefined, endMs: undefined };
  }

  /** Charges units and returns by how many they passed the limit. */
  charge(units: number, atMs: number): number {
    const { limit } = this;
    const before = this.total;
    // Amounts of money may be large, and the journal keeps only safe integers.
    const amount = Math.min(units, Math.max(0, Number.MAX_SAFE_INTEGER - before));
    if (this.sliding === undefined) {
      this.#charged += amount;
    } else {
      this.sliding.add(atMs, amount);
    }
    const over = Math.max(0, before + amount - limit) - Math.max(0, before - limit);
    this.over += over;
    this.share?.charged(over);
    if (this.bucket.definition.quota.alertAt !== undefined && this.share === undefined) {
      this.#alert(this.bucket.definition.quota.alertAt, before, atMs);
    }
    return over;
  }

  /**
   * Reports the thresholds that a charge reached. Sums survive a restart, so that nothing is
   * reported again. A sliding window may reach a threshold again only after its length.
   */
  #alert(percents: readonly number[], before: number, atMs: number): void {
    const { limit, used, sliding } = this;
    for (const percent of percents) {
      const threshold = (limit * percent) / 100;
      const last = this.#alertedMs?.get(percent);
      const isRepeated = sliding !== undefined && last !== undefined && atMs - last < sliding.durationMs;
      if (before < threshold && used >= threshold && !isRepeated) {
        this.#alertedMs ??= new Map();
        this.#alertedMs.set(percent, atMs);
        const { held, times } = this;
        this.bucket.alert({ bucket: this.bucket.ref, percent, spent: used, held, limit, atMs, ...times });
      }
    }
  }

  /**
   * Returns what the window `passed` windows later has to pay back; each window between pays the
   * limit.
   */
  debt(limit: number, passed: number): number {
    if (this.share !== undefined) {
      return Math.max(0, this.total - limit * passed);
    }
    return Math.max(0, Math.max(0, this.carried - limit) + this.over - limit * (passed - 1));
  }

  /** Adds units to the limit: until the window ends or, if it slides, for its length. */
  grant(units: number, atMs: number): void {
    this.granted += units;
    if (this.sliding !== undefined) {
      this.grantedUntilMs = atMs + this.sliding.durationMs;
    }
  }

  /** Advances a sliding window to `atMs`. */
  expire(atMs: number): void {
    if (this.granted > 0 && atMs >= this.grantedUntilMs) {
      this.granted = 0;
      this.bucket.reshaped(this);
    }
    if (this.sliding?.expire(atMs)) {
      // The journal can only drop segments by writing the whole window again.
      this.bucket.reshaped(this);
    }
  }

  /** Restores the sums from a journal. */
  restore(spent: number, carried: number, over: number): void {
    this.#charged = spent;
    this.carried = carried;
    this.over = over;
  }

  /**
   * Shares the window with other replicas. What was charged here so far is reported to them, and
   * counts in segments only at the shared store.
   */
  shareAs(share: WindowShare): void {
    this.#charged = this.spent;
    this.sliding = undefined;
    this.share = share;
    if (this.granted > 0) {
      share.grant(this.granted);
      this.granted = 0;
    }
  }

  /** Counts in this process alone from now on. */
  unshare(atMs: number): void {
    const { share } = this;
    this.share = undefined;
    if (share !== undefined && share.slidingMs > 0) {
      const recent = Math.min(this.#charged, share.spentWith(this.#charged));
      this.sliding = new SlidingSum(share.slidingMs);
      this.sliding.add(atMs, recent);
      this.#charged = 0;
    }
  }

  /** Changes the bounds. What was spent and held stays. */
  reshape(bounds: WindowBounds, sliding: SlidingSum | undefined): void {
    this.startMs = bounds.startMs;
    this.endMs = bounds.endMs;
    this.sliding = sliding;
  }
}

function slidingTimes(startMs: number | undefined, durationMs: number): BudgetTimes {
  return { startMs, endMs: startMs === undefined ? undefined : startMs + durationMs };
}

/** The owner of the buckets. */
export interface BucketHost {
  newWindowId(): number;
  /** A window begins. */
  opened(window: WindowState): void;
  /** An overdraft was carried into a window. */
  changed(window: WindowState): void;
  /** The bounds of a window changed, or it lost segments that had been charged. */
  reshaped(window: WindowState): void;
  /** A charge reached a threshold of `alertAt`. */
  alerted(alert: BudgetAlert): void;
  /** The shared store noticed an overdraft that no request was told of. */
  overdrawn(overdraft: Overdraft): void;
  /** A window ended: only open holds are still charged in it. */
  ended(window: WindowState): void;
}

export class Bucket {
  readonly key: string;
  readonly values: readonly string[];
  definition: QuotaDefinition;
  ref: BucketRef;
  /** The amount that the definition gives this key. */
  amount: number;
  window: WindowState;
  /** Open holds on any window of the bucket. */
  openHolds = 0;
  /** How many admissions wait in this bucket for holds of others. */
  waiting = 0;
  /** How many of its windows have an allowance of the shared store in use. */
  openAllowances = 0;
  readonly #host: BucketHost;

  constructor(ref: BucketRef, newest: QuotaDefinition, host: BucketHost, atMs: number) {
    this.key = ref.key;
    this.values = ref.values;
    this.definition = newest;
    this.ref = ref.quota === newest.quota ? ref : { ...ref, quota: newest.quota };
    this.#host = host;
    this.amount = amountOf(newest.quota, ref.values);
    this.window = this.#freshWindow(atMs);
  }

  /** The amount of this key, with what operators granted in the current window. */
  get limit(): number {
    const { share, granted } = this.window;
    return share === undefined ? this.amount + granted : share.limit;
  }

  get enforced(): boolean {
    return this.definition.quota.mode === 'Enforce';
  }

  alert(alert: BudgetAlert): void {
    this.#host.alerted(alert);
  }

  /** Reports an overdraft of charges that each seemed to stay within the limit. */
  overdrawn(amount: number): void {
    this.#host.overdrawn({ bucket: this.ref, amount, cause: 'in_flight' });
  }

  reshaped(window: WindowState): void {
    this.#host.reshaped(window);
  }

  /** Advances to the window of `atMs`. */
  roll(atMs: number): void {
    const { window } = this;
    if (window.sliding !== undefined) {
      window.expire(atMs);
      return;
    }
    const calendar = this.definition.calendar;
    if (calendar === undefined || (atMs < window.endMs && !calendar.wasSetBack(window.startMs, atMs))) {
      return;
    }
    this.window = this.#freshWindow(atMs);
    if (window.share === undefined) {
      this.window.carried = window.debt(this.limit, Math.max(1, calendar.apart(window.startMs, this.window.startMs)));
    }
    if (this.window.carried > 0) {
      this.#host.changed(this.window);
    }
    this.#host.ended(window);
  }

  /** Resets what was spent to 0. Holds stay. */
  reset(): void {
    const { window } = this;
    window.restore(0, 0, 0);
    window.reshape(window, window.sliding === undefined ? undefined : new SlidingSum(window.sliding.durationMs));
    this.#host.reshaped(window);
  }

  /** Adopts a newer definition. What was spent stays, unless it was counted another way. */
  adopt(newest: QuotaDefinition, atMs: number): void {
    this.roll(atMs);
    const old = this.definition;
    const { window } = this;
    this.definition = newest;
    this.ref = { ...this.ref, quota: newest.quota };
    this.amount = amountOf(newest.quota, this.values);
    if (newest.kind !== old.kind) {
      this.window = this.#freshWindow(atMs);
      this.#host.ended(window);
    } else if (JSON.stringify(old.quota.window) !== JSON.stringify(newest.quota.window)) {
      window.unshare(atMs);
      window.reshape(this.#boundsAt(atMs), window.sliding?.withDuration(this.#durationMs, atMs));
      this.#host.reshaped(window);
      this.#host.opened(window);
    }
  }

  /** Carries an overdraft of an ended window into the current one, which pays it back. */
  carryOverdraft(window: WindowState, over: number): void {
    const isPast = window !== this.window && window.kind === this.definition.kind;
    if (isPast && over > 0 && this.definition.calendar !== undefined && window.share === undefined) {
      this.window.carried += over;
      this.#host.changed(this.window);
    }
  }

  #freshWindow(atMs: number): WindowState {
    const { startMs, endMs } = this.#boundsAt(atMs);
    const sliding = this.definition.quota.window.type === 'Sliding' ? new SlidingSum(this.#durationMs) : undefined;
    const window = new WindowState(this.#host.newWindowId(), this, startMs, endMs, sliding);
    this.#host.opened(window);
    return window;
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

/** The part of a hold in one window, in units of its quota. */
export interface HoldPart {
  readonly window: WindowState;
  /** The index of the draw in `Demand.draws`. */
  readonly index: number;
  readonly perInputToken: number;
  readonly perOutputToken: number;
  held: number;
  /** Set at the settlement. */
  charged: number;
  /**
   * Set where the output is leased and drawn from this window: the hold, and the part's index in
   * `window.leases`.
   */
  lease: OpenHold | undefined;
  leaseIndex: number;
}

/** What is set aside for a request in each bucket until the request is settled. */
export class OpenHold implements Hold {
  readonly id: string;
  /** Unique in this process; names the hold in the journal. */
  readonly number: number;
  readonly parts: readonly HoldPart[];
  /** Input tokens held in each part that draws input. */
  inputTokens: number;
  /**
   * The usual output of such a stream, where the output is leased; undefined: the output is held
   * whole.
   */
  readonly usualTokens: number | undefined;
  holder: Holder | undefined;
  settled = false;
  /** Whom the request is charged to, for its usage record. */
  readonly subject: UsageSubject | undefined;
  /** Granted at admission. */
  outputTokens = 0;
  extensions = 0;
  /** Granted by extensions. */
  extendedTokens = 0;

  constructor(
    id: string,
    number: number,
    parts: readonly HoldPart[],
    inputTokens: number,
    usualTokens: number | undefined,
    subject: UsageSubject | undefined,
  ) {
    this.id = id;
    this.number = number;
    this.parts = parts;
    this.inputTokens = inputTokens;
    this.usualTokens = usualTokens;
    this.subject = subject;
    for (const part of parts) {
      const { window } = part;
      window.held += part.held;
      window.openHolds++;
      window.bucket.openHolds++;
      if (usualTokens !== undefined && part.perOutputToken > 0) {
        part.lease = this;
        part.leaseIndex = window.leases.push(part) - 1;
      }
    }
  }

  /** Adds the output tokens of an extension. */
  extend(outputTokens: number): void {
    this.grow(outputTokens);
    this.extensions++;
    this.extendedTokens += outputTokens;
  }

  /** Adds output tokens to the hold; a negative number gives some back. */
  grow(outputTokens: number): void {
    for (const part of this.parts) {
      const units = part.perOutputToken * outputTokens;
      part.held += units;
      part.window.held += units;
    }
  }

  /** Lowers the held input to a counted number. Returns false where that is not lower. */
  lowerInput(inputTokens: number): boolean {
    const less = this.inputTokens - inputTokens;
    if (less <= 0) {
      return false;
    }
    this.inputTokens = inputTokens;
    for (const part of this.parts) {
      const units = part.perInputToken * less;
      part.held -= units;
      part.window.held -= units;
    }
    return true;
  }

  /** Returns what a usage record keeps of the hold. */
  get usage(): UsageHold {
    const { inputTokens, outputTokens, extensions, extendedTokens, parts } = this;
    const limits = parts.map(({ window: { bucket }, held, charged }) => {
      const { quota } = bucket.definition;
      return {
        quota: quota.id,
        key: bucket.values,
        held: shownAmount(quota, held),
        charged: shownAmount(quota, charged),
        unit: unitNoun(quota),
      };
    });
    return { inputTokens, outputTokens, extensions, extendedTokens, limits };
  }

  /** Gives back everything that is held. */
  release(): void {
    this.settled = true;
    this.holder = undefined;
    for (const part of this.parts) {
      const { window } = part;
      window.held -= part.held;
      window.openHolds--;
      window.bucket.openHolds--;
      if (part.lease !== undefined) {
        const last = window.leases.pop()!;
        if (last !== part) {
          window.leases[part.leaseIndex] = last;
          last.leaseIndex = part.leaseIndex;
        }
      }
    }
  }
}
