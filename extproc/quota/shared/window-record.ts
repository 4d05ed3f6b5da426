/** A window of the shared store in memory: its allowances, and what was spent of it. */
import { SlidingSum } from '../sliding.ts';
import {
  type AllowanceAnswer,
  type AllowanceRequest,
  KEPT_AFTER_END_MS,
  KEPT_ENDED_MS,
  PRECEDENCE_MS,
  type SharedWindow,
} from './allowances.ts';

interface OpenAllowance {
  units: number;
  spent: number;
  expiresMs: number;
  number: number;
  /** The answer to the last request that had an effect. */
  spentBefore: number;
  spentAfter: number;
}

/** The units that an allowance lacks, and until when it has precedence. */
interface Precedence {
  readonly allowance: string;
  readonly units: number;
  readonly endsMs: number;
}

/** What has become of the limit of a window. */
export interface WindowTotals {
  readonly limit: number;
  readonly spent: number;
  readonly taken: number;
  /** Charged for ended allowances beyond what they reported as spent. */
  readonly recovered: number;
  /** Everything that was charged so far, whatever a sliding window or a reset let go. */
  readonly charged: number;
  /** The units by which what is spent passes the limit. */
  readonly owed: number;
  /** What the windows before owed, and what of it a reset forgave. */
  readonly debt: number;
  readonly forgivenDebt: number;
}

export class WindowRecord {
  window: SharedWindow;
  forgottenMs = Number.POSITIVE_INFINITY;
  #sliding: SlidingSum | undefined;
  /** In the order of their last requests, so that those that end first come first. */
  readonly #open = new Map<string, OpenAllowance>();
  readonly #ended = new Map<string, { readonly units: number; readonly forgottenMs: number }>();
  readonly #operations = new Set<string>();
  #clockMs: number;
  #clockOffsetMs = 0;
  #granted = 0;
  /** When the grants of a sliding window end, by the record's clock. */
  #grantedUntilMs = 0;
  /** Charged to a fixed window for ended allowances. A reset lowers it by what is spent. */
  #charged = 0;
  #recovered = 0;
  #everCharged = 0;
  /** Sums over the open allowances. */
  #openSpent = 0;
  #openUnspent = 0;
  #debt = 0;
  #forgivenDebt = 0;
  #first: Precedence | undefined;
  /** `spent` after the last exchange; of a sliding window the peak, and when it was reached. */
  #spentBefore = 0;
  #peakMs = Number.NEGATIVE_INFINITY;

  constructor(window: SharedWindow, nowMs: number) {
    this.window = window;
    this.#sliding = window.type === 'sliding' ? new SlidingSum(window.slidingMs) : undefined;
    this.#clockMs = nowMs;
  }

  /** `earlier`: the windows before, the latest first; undefined: not known. */
  exchange(request: AllowanceRequest, earlier: readonly (WindowRecord | undefined)[], nowMs: number): AllowanceAnswer {
    const { window, ttlMs } = request;
    if (isNewer(window, this.window)) {
      this.window = window;
    }
    this.forgottenMs =
      window.type === 'fixed' ? window.endMs + KEPT_AFTER_END_MS : nowMs + window.slidingMs + ttlMs + KEPT_ENDED_MS;
    this.#advance(nowMs);
    const unused = earlier.findIndex((before) => before !== undefined);
    if (unused >= 0) {
      const owed = earlier[unused]!.#owed - unused * this.window.limit;
      this.#debt = Math.max(0, owed - this.#forgivenDebt);
    }
    this.#operate(request);
    const known = this.#open.get(request.allowance);
    const ended = this.#ended.get(request.allowance);
    if (known === undefined && ended !== undefined) {
      return this.#answer(request, 'ended', ended.units, nowMs);
    }
    if (known === undefined && request.number !== 1) {
      return this.#answer(request, 'unknown', 0, nowMs);
    }
    const allowance = known ?? { units: 0, spent: 0, expiresMs: 0, number: 0, spentBefore: 0, spentAfter: 0 };
    const granted = request.number > allowance.number ? this.#apply(allowance, request) : 0;
    const open = this.#answer(request, 'open', allowance.units, nowMs, granted);
    return { ...open, spentBefore: allowance.spentBefore, spent: allowance.spentAfter };
  }

  /** Makes what this window owes the debt of the windows after it; undefined: not known. */
  carryDebt(later: readonly (WindowRecord | undefined)[]): void {
    let owed = this.#owed;
    for (const record of later) {
      if (record === undefined) {
        owed = Math.max(0, owed - this.window.limit);
      } else {
        record.#debt = Math.max(0, owed - record.#forgivenDebt);
        owed = record.#owed;
      }
    }
  }

  copy(): WindowRecord {
    const copy = new WindowRecord(this.window, this.#clockMs);
    copy.forgottenMs = this.forgottenMs;
    copy.#sliding = this.#sliding?.withDuration(this.#sliding.durationMs, Number.POSITIVE_INFINITY);
    for (const [id, allowance] of this.#open) {
      copy.#open.set(id, structuredClone(allowance));
    }
    for (const [id, ended] of this.#ended) {
      copy.#ended.set(id, ended);
    }
    for (const id of this.#operations) {
      copy.#operations.add(id);
    }
    copy.#clockOffsetMs = this.#clockOffsetMs;
    copy.#granted = this.#granted;
    copy.#grantedUntilMs = this.#grantedUntilMs;
    copy.#charged = this.#charged;
    copy.#recovered = this.#recovered;
    copy.#everCharged = this.#everCharged;
    copy.#openSpent = this.#openSpent;
    copy.#openUnspent = this.#openUnspent;
    copy.#debt = this.#debt;
    copy.#forgivenDebt = this.#forgivenDebt;
    copy.#first = this.#first;
    copy.#spentBefore = this.#spentBefore;
    copy.#peakMs = this.#peakMs;
    return copy;
  }

  totals(nowMs: number): WindowTotals {
    this.#advance(nowMs);
    return {
      limit: this.#limit,
      spent: this.#spent,
      taken: this.#taken,
      recovered: this.#recovered,
      charged: this.#everCharged,
      owed: this.#owed,
      debt: this.#debt,
      forgivenDebt: this.#forgivenDebt,
    };
  }

  get #limit(): number {
    return this.window.limit + this.#granted;
  }

  get #spent(): number {
    return this.#sliding?.sum ?? this.#charged + this.#openSpent + this.#debt;
  }

  /** The units by which what is spent passes the limit. */
  get #owed(): number {
    return Math.max(0, this.#spent - this.#limit);
  }

  get #taken(): number {
    return this.#spent + this.#openUnspent;
  }

  /** Ends the allowances whose replica is silent, and brings segments up to date. */
  #advance(nowMs: number): void {
    const clockMs = Math.max(this.#clockMs, nowMs + this.#clockOffsetMs);
    this.#clockOffsetMs = clockMs - nowMs;
    this.#clockMs = clockMs;
    for (const [id, allowance] of this.#open) {
      if (allowance.expiresMs > clockMs) {
        break;
      }
      this.#end(id, allowance);
    }
    for (const [id, { forgottenMs }] of this.#ended) {
      if (forgottenMs > clockMs) {
        break;
      }
      this.#ended.delete(id);
    }
    if (this.#sliding !== undefined) {
      this.#sliding.expire(clockMs);
      this.#granted = this.#grantedUntilMs > clockMs ? this.#granted : 0;
    }
    if (this.#first !== undefined && this.#first.endsMs <= clockMs) {
      this.#first = undefined;
    }
  }

  #end(id: string, { units, spent }: OpenAllowance): void {
    const unspent = units - spent;
    this.#open.delete(id);
    this.#openSpent -= spent;
    this.#openUnspent -= unspent;
    const isCharged = this.window.type !== 'concurrent';
    if (isCharged) {
      this.#charged += units;
      this.#recovered += unspent;
      this.#everCharged += unspent;
      this.#slide(unspent);
    }
    this.#ended.set(id, { units: isCharged ? units : 0, forgottenMs: this.#clockMs + KEPT_ENDED_MS });
  }

  #slide(units: number): void {
    if (units > 0) {
      this.#sliding?.add(this.#clockMs, units);
    }
  }

  #operate({ operation, operationId, operationUnits }: AllowanceRequest): void {
    if (operation === 'none' || this.#operations.has(operationId)) {
      return;
    }
    this.#operations.add(operationId);
    if (operation === 'grant') {
      this.#granted += operationUnits;
      this.#grantedUntilMs = this.#clockMs + this.window.slidingMs;
      return;
    }
    this.#charged = -this.#openSpent;
    this.#forgivenDebt += this.#debt;
    this.#debt = 0;
    this.#sliding &&= new SlidingSum(this.#sliding.durationMs);
    this.#spentBefore = 0;
  }

  /** Returns the units that were added to the allowance. */
  #apply(allowance: OpenAllowance, { allowance: id, number, spent, want, least, ttlMs }: AllowanceRequest): number {
    this.#open.delete(id);
    this.#open.set(id, allowance);
    const more = Math.max(0, spent - allowance.spent);
    const before = this.#spent;
    const unspent = allowance.units - allowance.spent;
    const rest = Math.max(0, unspent - more);
    allowance.spent += more;
    this.#everCharged += more;
    this.#openSpent += more;
    this.#openUnspent += rest - unspent;
    this.#slide(more);
    const granted = want <= rest ? want - rest : Math.min(want - rest, this.#share(id, least));
    this.#openUnspent += granted;
    allowance.units = allowance.spent + rest + granted;
    allowance.number = number;
    allowance.expiresMs = this.#clockMs + ttlMs;
    this.#remember(allowance, before);
    this.#putFirst(id, least - Math.max(0, granted));
    return Math.max(0, granted);
  }

  /**
   * Near the end, each replica gets a part only, so that none is refused what others do not use.
   */
  #share(allowance: string, least: number): number {
    const kept = this.#isWanted(allowance) ? this.#first!.units : 0;
    const free = Math.max(0, this.#limit - this.#taken - kept);
    return Math.max(Math.min(least, free), Math.floor(free / 2 / this.#open.size));
  }

  /** Whether another allowance has precedence. */
  #isWanted(allowance: string): boolean {
    return this.#first !== undefined && this.#first.allowance !== allowance;
  }

  /** Notes what was not granted of the least that an allowance needs. */
  #putFirst(allowance: string, units: number): void {
    if (!this.#isWanted(allowance)) {
      this.#first = units > 0 ? { allowance, units, endsMs: this.#clockMs + PRECEDENCE_MS } : undefined;
    }
  }

  /** Notes how `spent` has changed since the exchange before. */
  #remember(allowance: OpenAllowance, before: number): void {
    const spent = this.#spent;
    if (this.#sliding === undefined) {
      allowance.spentBefore = this.#spentBefore;
      this.#spentBefore = spent;
    } else {
      const isRecent = this.#clockMs - this.#peakMs < this.#sliding.durationMs;
      allowance.spentBefore = isRecent ? Math.max(this.#spentBefore, before) : before;
      if (!isRecent || spent >= this.#spentBefore) {
        this.#spentBefore = spent;
        this.#peakMs = this.#clockMs;
      }
    }
    allowance.spentAfter = spent;
  }

  #answer(
    { allowance, number, least }: AllowanceRequest,
    state: AllowanceAnswer['state'],
    units: number,
    nowMs: number,
    granted = 0,
  ): AllowanceAnswer {
    const spent = this.#spent;
    const totals = { limit: this.#limit, spent, spentBefore: spent, taken: this.#taken, replicas: this.#open.size };
    const isWanted = this.#isWanted(allowance);
    return {
      allowance,
      number,
      state,
      units,
      ...totals,
      isWanted,
      retryMs: this.#retryMs(Math.max(0, least - granted)),
      ageMs: this.#ageMs,
      nowMs,
      clockMs: this.#clockMs,
    };
  }

  /** How long ago the oldest segment began. */
  get #ageMs(): number {
    const [first] = this.#sliding?.numbers ?? [];
    return first === undefined ? 0 : Math.max(0, this.#clockMs - first * this.#sliding!.segmentMs);
  }

  #retryMs(lacking: number): number {
    const missing = this.#taken + lacking - this.#limit;
    if (this.#sliding === undefined || missing <= 0) {
      return 0;
    }
    const { sum, durationMs } = this.#sliding;
    return missing > sum ? durationMs : this.#sliding.fallsToAtMs(sum - missing, this.#clockMs) - this.#clockMs;
  }
}

function isNewer(one: SharedWindow, other: SharedWindow): boolean {
  return (
    one.limitEpoch > other.limitEpoch || (one.limitEpoch === other.limitEpoch && one.limitCounter > other.limitCounter)
  );
}
