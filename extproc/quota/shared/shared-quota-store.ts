/**
 * The quota store of one of several replicas. It spends allowances of a shared store with the logic
 * of the memory store, so that a warm request costs no round trip. Only a request or an extension
 * that the allowance cannot cover waits for the shared store. Without a shared store, it is the
 * memory store.
 *
 * Quotas in `Shadow` mode share what they count, and wait for nothing.
 */
import type { Quota } from '../../../contract/policy.ts';
import type { PolicyRevision } from '../../../contract/policy-version.ts';
import { type Claim, type Need, needOf } from '../admit.ts';
import { OpenHold } from '../bucket.ts';
import type { MemoryStore } from '../memory.ts';
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
import type { AllowanceStore } from './allowances.ts';
import { type Short, type Shortage, StoreAttempt } from './attempt.ts';
import { AttemptQueues } from './attempt-queues.ts';
import { nothingNeeded, SharedEntry } from './shared-entry.ts';
import { SharedWindows, type SharingOptions } from './shared-windows.ts';

export type SharedQuotaOptions = SharingOptions & Pick<MemoryOptions, 'maxWaiting' | 'onError'>;

/** An admission waits so long for allowances that other replicas do not use: idle ones return. */
const ADMISSION_WAIT_MS = 1_000;
/** The provider sends on meanwhile, so an extension is decided within 50 ms. */
const EXTENSION_WAIT_MS = 40;
/** How long a replica that stops tries to give back what it has not spent. */
const GIVE_BACK_MS = 500;

export class SharedQuotaStore implements QuotaStore {
  readonly #local: MemoryStore;
  readonly #options: SharedQuotaOptions;
  readonly #queues: AttemptQueues;
  #shared: SharedWindows | undefined;
  #revision: PolicyRevision = { epoch: 0, counter: 0 };
  #arrivals = 0;

  constructor(options: SharedQuotaOptions, local: MemoryStore) {
    this.#options = options;
    this.#local = local;
    this.#queues = new AttemptQueues(options);
  }

  /**
   * Counts with the other replicas of a shared store from now on; undefined: in this process alone.
   * What was charged so far stays, and is reported to the store.
   */
  useAllowances(allowances: AllowanceStore | undefined): void {
    this.#leave();
    if (allowances !== undefined) {
      const answered = ({ line }: SharedEntry) => this.#queues.answered(line);
      const shared = new SharedWindows(this.#options, this.#local, allowances, this.#revision, answered);
      this.#shared = shared;
      this.#local.opened = (window) => shared.entryOf(window);
      for (const { window } of this.#local.table.buckets.values()) {
        shared.entryOf(window);
      }
    }
  }

  /**
   * Call when the connection to the store works again. The next request then waits for an answer,
   * while otherwise the first one of each replica would be decided without the store.
   */
  resume(): void {
    this.#shared?.resume();
  }

  define(quotas: readonly Quota[], revision: PolicyRevision, atMs: number): boolean {
    if (!this.#local.define(quotas, revision, atMs)) {
      return false;
    }
    this.#revision = revision;
    if (this.#shared !== undefined) {
      this.#shared.revision = revision;
    }
    return true;
  }

  reserve(demand: Demand, done: (decision: Decision) => void): Cancel {
    const shared = this.#shared;
    if (shared === undefined) {
      return this.#local.reserve(demand, done);
    }
    const arrival = ++this.#arrivals;
    let cancel: Cancel | undefined;
    const decide = (shortage: Shortage, atMs: number) => {
      if (typeof shortage === 'object' && 'lost' in shortage) {
        done(this.#local.refuseLost(demand, shortage.lost, atMs));
      } else {
        cancel = this.#local.reserve(atMs === demand.atMs ? demand : { ...demand, atMs }, done);
      }
    };
    const first = this.#lookAtAdmission(shared, demand, arrival, demand.atMs, true);
    if (!isShort(first) || this.#queues.isFull) {
      decide(first, demand.atMs);
      return () => cancel?.();
    }
    const { nowMs } = this.#options;
    const attempt = new StoreAttempt(
      arrival,
      () => this.#lookAtAdmission(shared, demand, arrival, nowMs(), false),
      (shortage) => decide(shortage, nowMs()),
    );
    this.#queues.wait(attempt, first[0]!, ADMISSION_WAIT_MS);
    return () => (attempt.isOver ? cancel?.() : this.#queues.cancel(attempt));
  }

  extend(hold: Hold, output: OutputDemand, atMs: number, done: (outputTokens: number) => void): Cancel {
    const shared = this.#shared;
    if (shared === undefined || output.mode === 'none' || !(hold instanceof OpenHold) || hold.settled) {
      return this.#local.extend(hold, output, atMs, done);
    }
    const first = this.#lookAtExtension(shared, hold, output);
    if (!isShort(first) || this.#queues.isFull) {
      return this.#local.extend(hold, output, atMs, done);
    }
    const { nowMs } = this.#options;
    const attempt = new StoreAttempt(
      0,
      () => (hold.settled ? 'decide' : this.#lookAtExtension(shared, hold, output)),
      () => {
        if (!hold.settled) {
          this.#local.extend(hold, output, Math.max(atMs, nowMs()), done);
        }
      },
    );
    this.#queues.waitToExtend(attempt, first, EXTENSION_WAIT_MS);
    return () => this.#queues.cancel(attempt);
  }

  settle(
    hold: Hold,
    charge: Charge | FlatCharge,
    atMs: number,
    done: (overdrafts: readonly Overdraft[]) => void,
  ): void {
    this.#local.settle(hold, charge, atMs, done);
    if (this.#shared !== undefined && hold instanceof OpenHold) {
      for (const { window } of hold.parts) {
        if (window.share instanceof SharedEntry) {
          this.#shared.activate(window.share);
          this.#shared.giveWay(window.share);
        }
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

  /**
   * Reports what was spent and gives back the rest, so that other replicas have it at once.
   * Resolves once the shared store has confirmed that, or after half a second.
   */
  giveBack(): Promise<void> {
    const shared = this.#shared;
    return shared === undefined ? Promise.resolve() : new Promise((resolve) => shared.giveBack(GIVE_BACK_MS, resolve));
  }

  close(): void {
    this.#queues.close();
    this.#shared?.close();
    this.#local.close();
  }

  /** Ends sharing, and gives back what is unused. Admissions that wait are decided here. */
  #leave(): void {
    const shared = this.#shared;
    if (shared === undefined) {
      return;
    }
    this.#shared = undefined;
    this.#local.opened = undefined;
    const windows = shared.windows();
    shared.giveBack(GIVE_BACK_MS, () => {});
    for (const window of windows) {
      this.#local.unshare(window, this.#options.nowMs());
    }
    this.#queues.decideAll();
  }

  #lookAtAdmission(shared: SharedWindows, demand: Demand, arrival: number, atMs: number, isFirst: boolean): Shortage {
    const claims: Claim[] = [];
    if (shared !== this.#shared || this.#local.table.open(demand.draws, atMs, claims) !== undefined) {
      return 'decide';
    }
    let short: Short[] | undefined;
    for (const { bucket, draw } of claims) {
      const entry = shared.entryOf(bucket.window);
      shared.activate(entry);
      if (!bucket.enforced) {
        continue;
      }
      const need = needOf(draw, demand);
      const shortage = askForAdmission(shared, entry, need, arrival, isFirst);
      if (shortage === 'decide') {
        return shortage;
      }
      if (shortage === 'lost') {
        return { lost: bucket.ref };
      }
      if (shortage === 'short') {
        short ??= [];
        short.push({ line: entry.line, units: need.usual });
      }
    }
    return short ?? 'decide';
  }

  #lookAtExtension(shared: SharedWindows, { parts }: OpenHold, { least, want }: OutputDemand): Shortage {
    let short: Short[] | undefined;
    for (const { window, perOutputToken } of shared === this.#shared ? parts : []) {
      if (perOutputToken === 0 || !window.bucket.enforced) {
        continue;
      }
      const entry = shared.entryOf(window);
      const need = { least: perOutputToken * least, usual: perOutputToken * want };
      shared.activate(entry);
      entry.need = need;
      const isEnough = freeOf(entry) >= need.least;
      if (!isEnough && shared.isExhausted(entry, need.least)) {
        continue;
      }
      shared.send(entry, isEnough ? nothingNeeded : need);
      if (freeOf(entry) < need.least && !shared.isLost(entry)) {
        short ??= [];
        short.push({ line: entry.line, units: need.usual });
      }
    }
    return short ?? 'decide';
  }
}

/** Asks for what an admission needs of a window beyond what is free. */
function askForAdmission(
  shared: SharedWindows,
  entry: SharedEntry,
  need: Need,
  arrival: number,
  isFirst: boolean,
): 'fits' | 'short' | 'decide' | 'lost' {
  const { first } = entry.line.queue;
  const isBehind = first !== undefined && first.arrival < arrival;
  entry.need = need;
  // After an answer, a request takes what there is, if that suffices at all.
  if (!isBehind && freeOf(entry) >= (isFirst ? need.usual : need.least)) {
    shared.send(entry, nothingNeeded);
    return 'fits';
  }
  if (freeOf(entry) < need.least && shared.isExhausted(entry, need.least)) {
    return 'decide';
  }
  const usual = Math.max(need.usual, entry.line.queuedUnits + (isFirst ? need.usual : 0));
  shared.send(entry, { least: need.least, usual });
  const hasLeast = freeOf(entry) >= need.least;
  if (shared.isLost(entry)) {
    return hasLeast ? 'fits' : 'lost';
  }
  return !isBehind && hasLeast && !shared.isWaiting(entry) ? 'fits' : 'short';
}

function freeOf({ budget, window }: SharedEntry): number {
  return budget - window.used - window.held;
}

function isShort(shortage: Shortage): shortage is readonly Short[] {
  return Array.isArray(shortage);
}
