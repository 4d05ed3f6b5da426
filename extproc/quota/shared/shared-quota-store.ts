/**
 * The quota store of one of several replicas. It spends allowances of a shared store with the logic
 * of the memory store, so that a warm request costs no round trip. Only a request or an extension
 * that the allowance cannot cover waits for the shared store.
 *
 * Quotas with sliding windows and those that do not enforce count in this replica alone.
 */
import type { Quota } from '../../../contract/policy.ts';
import type { PolicyRevision } from '../../../contract/policy-version.ts';
import { type Claim, type Need, needOf } from '../admit.ts';
import { OpenHold, type WindowState } from '../bucket.ts';
import { MemoryStore } from '../memory.ts';
import type { MemoryOptions } from '../memory-options.ts';
import type {
  BucketRef,
  BucketSnapshot,
  BucketState,
  Cancel,
  Charge,
  Decision,
  Demand,
  FlatCharge,
  Hold,
  OutputDemand,
  Overdraft,
  QuotaKeys,
  QuotaStore,
} from '../store.ts';
import type { UsageRecord } from '../usage-record.ts';
import { Allowance } from './allowance.ts';
import type { AllowanceStore, SharedWindow } from './allowances.ts';

export interface SharedQuotaOptions extends MemoryOptions {
  readonly allowances: AllowanceStore;
  /** Returns an id that no other replica returns, now or after a restart. */
  readonly newId: () => string;
  /** A clock that is never set. */
  readonly steadyMs: () => number;
}

/** How often allowances follow the traffic. */
const INTERVAL_MS = 250;
/** How often what waits asks again while the shared store has too little. */
const POLL_MS = 25;
/** The least time that an admission waits for the shared store: several round trips. */
const MIN_WAIT_MS = 1_000;
/** The provider sends on meanwhile, so an extension is decided within 50 ms. */
const EXTENSION_WAIT_MS = 40;

interface Entry {
  readonly window: WindowState;
  readonly allowance: Allowance;
  /** Attempts that the next answer may help. */
  waiting: (() => void)[];
  /** What the newest request needed. */
  need: Need;
}

const nothing: Need = { least: 0, usual: 0 };

/** Whether the local store can decide; otherwise the entries whose answers may change that. */
type Shortage = 'none' | 'hopeless' | readonly Entry[];

export class SharedQuotaStore implements QuotaStore {
  readonly #local: MemoryStore;
  readonly #options: SharedQuotaOptions;
  readonly #entries = new WeakMap<WindowState, Entry>();
  /** Entries with something to report, to give back or to keep. */
  readonly #active = new Set<Entry>();
  #cancelTick: Cancel | undefined;
  #waiting = 0;
  #revision: PolicyRevision = { epoch: 0, counter: 0 };
  /** The highest time of the shared store in any answer. */
  #seenMs = 0;
  #isClosed = false;

  constructor(options: SharedQuotaOptions) {
    this.#options = options;
    this.#local = new MemoryStore(options, undefined);
  }

  define(quotas: readonly Quota[], revision: PolicyRevision, atMs: number): boolean {
    const isDefined = this.#local.define(quotas, revision, atMs);
    this.#revision = isDefined ? revision : this.#revision;
    return isDefined;
  }

  reserve(demand: Demand, done: (decision: Decision) => void): Cancel {
    const decide = (atMs: number) => this.#local.reserve(atMs === demand.atMs ? demand : { ...demand, atMs }, done);
    const waitMs = demand.draws.reduce((ms, { bucket }) => Math.max(ms, bucket.quota.queueTimeoutMs), MIN_WAIT_MS);
    return this.#attempt((isFirst) => this.#admissionShortage(demand, isFirst), waitMs, demand.atMs, decide);
  }

  extend(hold: Hold, output: OutputDemand, atMs: number, done: (outputTokens: number) => void): Cancel {
    if (output.mode === 'none' || !(hold instanceof OpenHold)) {
      return this.#local.extend(hold, output, atMs, done);
    }
    const decide = (nowMs: number) =>
      hold.settled ? () => {} : this.#local.extend(hold, output, Math.max(atMs, nowMs), done);
    return this.#attempt(() => this.#extensionShortage(hold, output), EXTENSION_WAIT_MS, atMs, decide);
  }

  settle(
    hold: Hold,
    charge: Charge | FlatCharge,
    atMs: number,
    done: (overdrafts: readonly Overdraft[]) => void,
  ): void {
    this.#local.settle(hold, charge, atMs, done);
    if (hold instanceof OpenHold) {
      for (const { window } of hold.parts) {
        this.#activate(this.#entries.get(window));
      }
    }
  }

  recordUsage(record: UsageRecord, hold: Hold | undefined): void {
    this.#local.recordUsage(record, hold);
  }

  get keepsUsage(): boolean {
    return this.#local.keepsUsage;
  }

  snapshot(buckets: readonly BucketRef[], atMs: number): readonly BucketSnapshot[] {
    return this.#local.snapshot(buckets, atMs);
  }

  flush(): void {
    this.#local.flush();
  }

  top(count: number, atMs: number): readonly BucketState[] {
    return this.#local.top(count, atMs);
  }

  keys(count: number): readonly QuotaKeys[] {
    return this.#local.keys(count);
  }

  get journalFailure(): string | undefined {
    return this.#local.journalFailure;
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelTick?.();
    this.#local.close();
  }

  /**
   * Decides at once where the allowances suffice or nothing can help. Otherwise asks for more and
   * decides after an answer, at the latest after `waitMs`.
   */
  #attempt(
    shortageNow: (isFirst: boolean) => Shortage,
    waitMs: number,
    atMs: number,
    decide: (atMs: number) => Cancel,
  ): Cancel {
    const first = shortageNow(true);
    if (typeof first === 'string' || this.#waiting >= this.#options.maxWaiting) {
      return decide(atMs);
    }
    const { nowMs, steadyMs, schedule } = this.#options;
    const untilMs = steadyMs() + waitMs;
    let cancelTimer: Cancel = () => {};
    let cancelDecision: Cancel | undefined;
    let isOver = false;
    const end = () => {
      isOver = true;
      this.#waiting--;
      cancelTimer();
    };
    const again = () => {
      if (isOver || this.#isClosed) {
        return;
      }
      cancelTimer();
      const shortage = shortageNow(false);
      const leftMs = untilMs - steadyMs();
      if (typeof shortage === 'string' || leftMs <= 0) {
        end();
        cancelDecision = decide(nowMs());
        return;
      }
      pause(shortage, leftMs);
    };
    const pause = (shortage: readonly Entry[], leftMs: number) => {
      for (const { waiting } of shortage) {
        if (!waiting.includes(again)) {
          waiting.push(again);
        }
      }
      cancelTimer = schedule(Math.min(POLL_MS, leftMs), again);
    };
    this.#waiting++;
    pause(first, waitMs);
    return () => (isOver ? cancelDecision?.() : end());
  }

  #admissionShortage(demand: Demand, isFirst: boolean): Shortage {
    const claims: Claim[] = [];
    const atMs = isFirst ? demand.atMs : this.#options.nowMs();
    if (this.#local.table.open(demand.draws, atMs, claims) !== undefined) {
      return 'none';
    }
    const short: Entry[] = [];
    for (const { bucket, draw } of claims) {
      const entry = this.#entryOf(bucket.window);
      if (entry === undefined) {
        continue;
      }
      const need = needOf(draw, demand);
      // After an answer, a request takes what there is, if that suffices at all.
      const shortage = this.#ask(entry, need, isFirst ? need.usual : need.least);
      if (shortage === 'hopeless') {
        return shortage;
      }
      if (shortage === 'short') {
        short.push(entry);
      }
    }
    return short.length === 0 ? 'none' : short;
  }

  #extensionShortage({ parts, settled }: OpenHold, { least, want }: OutputDemand): Shortage {
    const short: Entry[] = [];
    for (const { window, perOutputToken } of settled ? [] : parts) {
      const entry = perOutputToken > 0 ? this.#entryOf(window) : undefined;
      const need = { least: perOutputToken * least, usual: perOutputToken * want };
      if (entry !== undefined && this.#ask(entry, need, need.least) === 'short') {
        short.push(entry);
      }
    }
    return short.length === 0 ? 'none' : short;
  }

  /** Asks for what is needed where fewer than `enough` units are free. */
  #ask(entry: Entry, need: Need, enough: number): 'none' | 'short' | 'hopeless' {
    const { window, allowance } = entry;
    const free = allowance.budget - window.used - window.held;
    entry.need = need;
    this.#activate(entry);
    if (free >= enough) {
      this.#send(entry, nothing);
      return 'none';
    }
    if (free < need.least && allowance.isExhausted(need.least, this.#options.steadyMs())) {
      return 'hopeless';
    }
    this.#send(entry, need);
    return 'short';
  }

  /** Returns undefined for a window that only this replica counts. */
  #entryOf(window: WindowState): Entry | undefined {
    const { bucket } = window;
    if (!bucket.enforced || window.sliding !== undefined) {
      return undefined;
    }
    let entry = this.#entries.get(window);
    if (entry === undefined) {
      const shared = sharedWindow(window, this.#revision);
      entry = { window, allowance: new Allowance(shared, this.#options.newId), waiting: [], need: nothing };
      this.#entries.set(window, entry);
      window.allowance = 0;
    }
    return entry;
  }

  #send(entry: Entry, need: Need, mayShrink = false): void {
    const { window, allowance } = entry;
    const { allowances, steadyMs } = this.#options;
    const request = allowance.request(window, need, steadyMs(), this.#seenMs, mayShrink);
    window.allowance = allowance.budget;
    if (request === undefined) {
      return;
    }
    allowances.exchange(request, (answer) => {
      this.#seenMs = Math.max(this.#seenMs, answer?.nowMs ?? 0);
      if (this.#isClosed || answer === undefined || !allowance.answered(answer, steadyMs())) {
        return;
      }
      window.allowance = allowance.budget;
      window.elsewhere = allowance.elsewhere;
      const { waiting } = entry;
      entry.waiting = [];
      for (const again of waiting) {
        again();
      }
      this.#local.allowanceGrew(window.bucket);
    });
  }

  #activate(entry: Entry | undefined): void {
    if (entry !== undefined && !this.#active.has(entry)) {
      this.#active.add(entry);
      entry.window.bucket.openAllowances++;
      this.#cancelTick ??= this.#options.schedule(INTERVAL_MS, this.#tick);
    }
  }

  readonly #tick = (): void => {
    this.#cancelTick = undefined;
    for (const entry of this.#active) {
      const { window, allowance } = entry;
      allowance.measure(window);
      this.#send(entry, window.bucket.waiting > 0 ? entry.need : nothing, true);
      if (window.openHolds === 0 && entry.waiting.length === 0 && allowance.isSettled(window)) {
        this.#active.delete(entry);
        window.bucket.openAllowances--;
      }
    }
    if (this.#active.size > 0) {
      this.#cancelTick = this.#options.schedule(INTERVAL_MS, this.#tick);
    }
  };
}

/** Returns the name and the limits of a window, as all replicas know it. */
function sharedWindow(window: WindowState, { epoch, counter }: PolicyRevision): SharedWindow {
  const { bucket, kind, limit, returnsHolds, startMs, endMs } = window;
  const { calendar } = bucket.definition;
  const keyOf = (start: number, end: number) => `${bucket.key}@${kind}@${start}-${Number.isFinite(end) ? end : ''}`;
  const previous = calendar?.at(startMs - 1);
  return {
    key: keyOf(startMs, endMs),
    bucket: bucket.key,
    type: returnsHolds ? 'concurrent' : 'fixed',
    limit,
    limitEpoch: epoch,
    limitCounter: counter,
    startMs,
    endMs,
    slidingMs: 0,
    previousKey: previous === undefined ? '' : keyOf(previous.startMs, previous.endMs),
  };
}
