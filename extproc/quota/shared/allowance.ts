/**
 * One replica's allowance of one window: what it may spend without asking, and the requests that
 * change it. Pure: the caller sends requests and delivers answers.
 *
 * The replica never counts on more than the store has set aside: it lowers its budget before it
 * asks to give units back, and raises it once the answer arrives. An allowance that ended without
 * its knowledge was charged in full, so what is left of it may still be spent. An allowance that
 * the store lost is opened again, and everything that no ended allowance paid for is reported to
 * the new one.
 */
import type { Need } from '../admit.ts';
import { type AllowanceAnswer, type AllowanceRequest, KEPT_ENDED_MS, type SharedWindow } from './allowances.ts';

/** Without a request for so long, the store ends an allowance. */
const TTL_MS = 10_000;
/** A request without an answer is repeated after this time. */
const RETRY_MS = 100;
/** After a grant of less than was wanted, the next request waits so long. */
const SHORT_PAUSE_MS = 20;
/** At the end of a budget, all replicas of a window together ask at most so often. */
const MOST_ASKS_PER_MS = 2;
/** For so long, the store's totals of the last answer are believed. */
const TOTALS_FRESH_MS = 500;
/** What was spent is reported after this time, also while the allowance suffices. */
const REPORT_MS = 1_000;
/**
 * Where less than this part of the limit is left in the store, a replica with something unused
 * looks in every interval whether others lack units.
 */
const SCARCE_PART = 0.25;
/** For so long, an answer that another replica lacks units is believed. */
const WANTED_MS = 250;
/** Intervals of traffic that an allowance covers in advance: about one second. */
const INTERVALS_AHEAD = 4;
/** After this number of intervals without traffic, everything unused is given back. */
const IDLE_INTERVALS = 2;

/** What a replica has done with a window so far. */
export interface LocalUse {
  /** Units charged by this replica, cumulative. */
  readonly used: number;
  readonly held: number;
}

/** A change of the window by the operator. */
export interface WindowOperation {
  readonly operation: 'reset' | 'grant';
  readonly operationId: string;
  readonly operationUnits: number;
}

/** Names the windows of the same bucket around one that the store may know at the same time. */
export interface WindowNeighbors {
  /** Those before `previousKey`, the latest first. */
  earlierKeys(): readonly string[];
  /** Those after it, the earliest first. */
  laterKeys(): readonly string[];
}

const noOperation = { operation: 'none', operationId: '', operationUnits: 0 } as const;

export class Allowance {
  window: SharedWindow;
  /** The charges and holds of this replica in the window may come to this number of units. */
  budget = 0;
  readonly #newId: () => string;
  readonly #neighbors: WindowNeighbors;
  #id: string;
  #number = 0;
  /** The part of `budget` that earlier allowances paid for. */
  #paid = 0;
  #reported = 0;
  #pending: AllowanceRequest | undefined;
  #operations: readonly WindowOperation[] = [];
  /** When the pending request was sent first, and last. */
  #askedMs = 0;
  #sentMs = Number.NEGATIVE_INFINITY;
  #answeredMs = Number.NEGATIVE_INFINITY;
  /** The clock of the window's record in the last answer. */
  #answeredClockMs = Number.NEGATIVE_INFINITY;
  #wasShort = false;
  /** Whether the last answer left the replica with less than it needed, but with precedence. */
  #hasPrecedence = false;
  /** What the allowance had left as the pending request was sent. */
  #askedRest = 0;
  /** When units were given back last because another replica lacked them. */
  #yieldedMs = Number.NEGATIVE_INFINITY;
  /** Whether another replica lacked units by the last answer. */
  #wasWanted = false;
  /** Whether little was left in the store by the last answer. */
  #isScarce = false;
  /** Open allowances of the window, by the last answer. */
  #replicas = 1;
  /** The limit of the policy in the last request. */
  #sentLimit: number;
  /** Whether the window may owe units: more was spent than granted, or taken than the limit. */
  #mayOwe = false;
  /** Whether the store gives nothing of the window: its clock is too far from this replica's. */
  #isRefused = false;
  /** What all replicas have spent, by the last answer, and the limit. */
  #spent = 0;
  #limit: number;
  /** Units of an interval's traffic, and what it is measured from. */
  #flow = 0;
  #level = 0;
  #idle = 0;

  constructor(window: SharedWindow, neighbors: WindowNeighbors, newId: () => string) {
    this.window = window;
    this.#neighbors = neighbors;
    this.#limit = window.limit;
    this.#sentLimit = window.limit;
    this.#newId = newId;
    this.#id = newId();
  }

  /** Whether nothing is unreported, unused or unanswered. */
  isSettled({ used }: LocalUse): boolean {
    return (
      this.#pending === undefined && !this.#hasNews && this.#spentOf(used) === this.#reported && !this.#isUnused(used)
    );
  }

  /** Whether the whole window has too little left for `units`, by a recent answer. */
  isExhausted(units: number, nowMs: number): boolean {
    return nowMs - this.#answeredMs < TOTALS_FRESH_MS && this.#spent + units > this.#limit;
  }

  /** Whether another replica lacks units, so that nothing is kept in advance. */
  isWanted(nowMs: number): boolean {
    return this.#wasWanted && nowMs - this.#answeredMs < WANTED_MS;
  }

  /** Measures the traffic of an interval. */
  measure({ used, held }: LocalUse): void {
    const level = used + held;
    const more = Math.max(0, level - this.#level);
    this.#level = level;
    this.#idle = more > 0 ? 0 : this.#idle + 1;
    this.#flow = this.#idle >= IDLE_INTERVALS ? 0 : Math.max(more, Math.floor(this.#flow / 2));
  }

  /**
   * Returns the request to send now; undefined: none. `need`: what should be free at the moment.
   * `seenMs`: the highest time of the store in any answer.
   */
  request(
    { used, held }: LocalUse,
    need: Need,
    nowMs: number,
    seenMs: number,
    isTick: boolean,
  ): AllowanceRequest | undefined {
    if (this.#pending !== undefined) {
      if (nowMs - this.#sentMs < RETRY_MS) {
        return undefined;
      }
      this.#sentMs = nowMs;
      return this.#pending;
    }
    const sinceMs = nowMs - this.#sentMs;
    // A store whose clock is wrong may take the window later, as after a failover.
    if (this.#isRefused && !this.#hasNews && need.usual === 0 && sinceMs < REPORT_MS) {
      return undefined;
    }
    const free = this.budget - used - held;
    const isWanted = this.isWanted(nowMs);
    const ahead = (isWanted ? 0 : this.#flow * INTERVALS_AHEAD) + need.usual;
    const isMissing = free < need.usual || free < ahead / 2;
    const grows = isMissing && (!(this.#wasShort || isWanted) || nowMs - this.#answeredMs >= this.#pauseMs);
    const yields = isTick && isWanted && nowMs - this.#yieldedMs >= this.#pauseMs;
    const shrinks = isTick && free > (yields ? 1 : 2) * ahead && this.#isUnused(used);
    const isStale = sinceMs >= TTL_MS / 3 && this.#isUnused(used);
    const isDue = this.#flow === 0 || yields || (isTick && sinceMs >= REPORT_MS);
    const isUnreported = this.#spentOf(used) !== this.#reported && isDue;
    const looks = isTick && this.#isScarce && free > 0 && sinceMs >= this.#pauseMs;
    if (!grows && !shrinks && !isStale && !isUnreported && !looks && !this.#hasNews) {
      return undefined;
    }
    const number = ++this.#number;
    const spent = number === 1 ? 0 : this.#spentOf(used);
    // While another replica is served first, a part that is too small here helps neither.
    const isTooLittle = grows && isWanted && this.#wasShort && free < need.least;
    const kept = isTooLittle ? 0 : grows || shrinks ? ahead : Math.max(0, free);
    const target = Math.max(0, used + held + kept - this.#paid);
    this.#mayOwe ||= number > 1 && this.#paid + spent > this.budget;
    this.#askedRest = Math.max(0, this.budget - this.#paid - spent);
    this.#yieldedMs = yields ? nowMs : this.#yieldedMs;
    const want = Math.max(0, target - spent);
    this.budget = Math.min(this.budget, this.#paid + spent + want);
    this.#askedMs = nowMs;
    this.#sentMs = nowMs;
    this.#sentLimit = this.window.limit;
    this.#pending = {
      window: this.window,
      allowance: this.#id,
      number,
      spent,
      want,
      least: Math.max(0, need.least - free),
      ttlMs: TTL_MS,
      seenMs,
      earlierKeys: number === 1 ? this.#neighbors.earlierKeys() : undefined,
      laterKeys: this.#mayOwe ? this.#neighbors.laterKeys() : undefined,
      ...(this.#operations[0] ?? noOperation),
    };
    return this.#pending;
  }

  /** Whether an answer is the one to the pending request, and not a late or repeated one. */
  isAwaited({ allowance, number }: AllowanceAnswer): boolean {
    return this.#pending !== undefined && allowance === this.#id && number === this.#pending.number;
  }

  /** Takes the awaited answer. */
  answered(answer: AllowanceAnswer, nowMs: number): void {
    const asked = this.#pending!;
    const isRecent = nowMs - this.#answeredMs < KEPT_ENDED_MS && answer.clockMs - this.#answeredClockMs < KEPT_ENDED_MS;
    this.#pending = undefined;
    this.#answeredMs = nowMs;
    this.#answeredClockMs = answer.clockMs;
    if (answer.state === 'refused') {
      this.#end(this.budget);
      this.#isRefused = true;
      this.#wasShort = true;
      return;
    }
    this.#isRefused = false;
    this.#operations = this.#operations.filter(({ operationId }) => operationId !== asked.operationId);
    this.#spent = answer.spent;
    this.#limit = answer.limit;
    this.#replicas = answer.replicas;
    this.#mayOwe ||= answer.taken > answer.limit;
    this.#wasWanted = answer.isWanted;
    this.#isScarce = answer.limit - answer.taken < answer.limit * SCARCE_PART;
    const lacks = answer.units - asked.spent - this.#askedRest < asked.least;
    this.#hasPrecedence = lacks && !answer.isWanted;
    this.#take(answer, asked, isRecent);
    this.#wasShort ||= lacks && answer.state === 'open';
  }

  /** The units that the store knows to be spent by this replica: reported, or charged in full. */
  get reportedUse(): number {
    return this.#paid + this.#reported;
  }

  /** Since when a request has no answer; undefined: none is sent. */
  get unansweredSinceMs(): number | undefined {
    return this.#pending === undefined ? undefined : this.#askedMs;
  }

  /** Treats a request without an answer as new: it may be sent again at once. */
  waitAgain(nowMs: number): void {
    if (this.#pending !== undefined) {
      this.#askedMs = nowMs;
      this.#sentMs = Number.NEGATIVE_INFINITY;
    }
  }

  /**
   * Gives up what is not held, where the store has not answered for so long that it may have given
   * concurrent requests to others.
   */
  expire(held: number, nowMs: number): void {
    if (this.window.type === 'concurrent' && nowMs - this.#answeredMs >= TTL_MS) {
      this.budget = Math.min(this.budget, held);
    }
  }

  /** Wants nothing in advance any more. */
  rest(): void {
    this.#flow = 0;
  }

  /** Whether the store knows what was spent, and has set nothing aside but what is held. */
  isGivenBack({ used, held }: LocalUse): boolean {
    const isKept = this.budget <= Math.max(used + held, this.#paid);
    return this.#pending === undefined && (this.#isRefused || (this.#spentOf(used) === this.#reported && isKept));
  }

  /** Begins again with nothing spent, where nothing is unreported, unused or unanswered. */
  restart(): void {
    this.#end(0);
    this.#level = 0;
  }

  /** Sends a change by the operator with the next request. */
  operate(operation: WindowOperation): void {
    this.#operations = [...this.#operations, operation];
  }

  /** The time between two requests while the store has too little. */
  get #pauseMs(): number {
    return this.#hasPrecedence ? SHORT_PAUSE_MS : Math.max(SHORT_PAUSE_MS, this.#replicas / MOST_ASKS_PER_MS);
  }

  #take({ state, units }: AllowanceAnswer, asked: AllowanceRequest, isRecent: boolean): void {
    if (state === 'open') {
      this.#reported = asked.spent;
      this.budget = this.#paid + units;
      this.#wasShort = units < asked.spent + asked.want;
      return;
    }
    // Forgotten after it was charged in full, or lost.
    this.#end(state === 'ended' ? this.#paid + units : isRecent ? this.#paid : this.budget);
    this.#wasShort = false;
  }

  /** Begins a new allowance. The ones so far have paid for `paid` units. */
  #end(paid: number): void {
    this.#paid = this.window.type === 'concurrent' ? 0 : paid;
    this.budget = this.#paid;
    this.#id = this.#newId();
    this.#number = 0;
    this.#reported = 0;
  }

  /** Whether the operator or the policy changed the window. */
  get #hasNews(): boolean {
    return this.#operations.length > 0 || this.#sentLimit !== this.window.limit;
  }

  /** Whether the store has set units aside that are not spent. */
  #isUnused(used: number): boolean {
    return this.budget > Math.max(used, this.#paid);
  }

  #spentOf(used: number): number {
    return Math.max(0, used - this.#paid);
  }
}
