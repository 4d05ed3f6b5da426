/**
 * The windows that this replica shares with others: sends their requests, follows their traffic,
 * and notices when the shared store is lost.
 */
import type { PolicyRevision } from '../../../contract/policy-version.ts';
import type { Need } from '../admit.ts';
import type { WindowState } from '../bucket.ts';
import type { MemoryStore } from '../memory.ts';
import type { Cancel } from '../store.ts';
import type { LocalUse } from './allowance.ts';
import { type AllowanceStore, KEPT_AFTER_END_MS, LOSS_MS } from './allowances.ts';
import { type EntryOwner, nothingNeeded, SharedEntry } from './shared-entry.ts';

/** How often allowances follow the traffic. */
const INTERVAL_MS = 250;
/** While the store is lost, one request is sent in this time, to see whether it is back. */
const PROBE_MS = 100;

/** How often the last reports are repeated that the store has not confirmed. */
const SETTLE_AGAIN_MS = 100;

export type SharingState = 'available' | 'lost';

export interface SharingOptions {
  /** Returns an id that no other replica returns, now or after a restart. */
  readonly newId: () => string;
  /** A clock that is never set. */
  readonly steadyMs: () => number;
  readonly nowMs: () => number;
  readonly schedule: (delayMs: number, callback: () => void) => Cancel;
  /** Called when the shared store is lost or available again. */
  readonly onStoreState: (state: SharingState) => void;
}

export class SharedWindows implements EntryOwner {
  readonly newId: () => string;
  readonly #options: SharingOptions;
  readonly #local: MemoryStore;
  readonly #allowances: AllowanceStore;
  readonly #answered: (entry: SharedEntry) => void;
  /** Entries with something to report, to give back or to keep. */
  readonly #active = new Set<SharedEntry>();
  #cancelTick: Cancel | undefined;
  revision: PolicyRevision;
  /** The highest time of the shared store in any answer. */
  #seenMs = 0;
  /** When the store answered last. */
  #answeredMs = Number.NEGATIVE_INFINITY;
  #probedMs = Number.NEGATIVE_INFINITY;
  #isLost = false;
  #isClosed = false;
  /** What is reported last, and the call once that is confirmed. */
  readonly #finalUses = new Map<SharedEntry, LocalUse>();
  #whenSettled: (() => void) | undefined;

  /** `answered` is called after an answer has changed what an entry may spend. */
  constructor(
    options: SharingOptions,
    local: MemoryStore,
    allowances: AllowanceStore,
    revision: PolicyRevision,
    answered: (entry: SharedEntry) => void,
  ) {
    this.#options = options;
    this.newId = options.newId;
    this.#local = local;
    this.#allowances = allowances;
    this.revision = revision;
    this.#answered = answered;
  }

  /** Returns the entry of a window, and begins to share the window if it is not shared yet. */
  entryOf(window: WindowState): SharedEntry {
    const { share } = window;
    if (share instanceof SharedEntry) {
      share.follow(this.revision);
      return share;
    }
    const entry = new SharedEntry(window, this.revision, this);
    this.#local.share(window, entry);
    return entry;
  }

  /**
   * Whether the whole window has too little left for `units`. Of a sliding window, only where it is
   * known when there is room again.
   */
  isExhausted({ allowance, slidingMs, retryAtMs }: SharedEntry, units: number): boolean {
    const { steadyMs, nowMs } = this.#options;
    return allowance.isExhausted(units, steadyMs()) && (slidingMs === 0 || retryAtMs > nowMs());
  }

  /** Whether a request of an entry has no answer yet. */
  isWaiting({ allowance }: SharedEntry): boolean {
    return allowance.unansweredSinceMs !== undefined;
  }

  /** Returns all windows that are shared. */
  windows(): readonly WindowState[] {
    const windows = new Set([...this.#active].map(({ window }) => window));
    for (const { window } of this.#local.table.buckets.values()) {
      if (window.share instanceof SharedEntry) {
        windows.add(window);
      }
    }
    return [...windows];
  }

  /** Whether the store does not answer for a window. */
  isLost({ allowance }: SharedEntry): boolean {
    const sinceMs = allowance.unansweredSinceMs;
    return this.#isLost || (sinceMs !== undefined && this.#options.steadyMs() - sinceMs >= LOSS_MS);
  }

  send(entry: SharedEntry, need: Need, isTick = false, use: LocalUse = entry.window): void {
    const { window, allowance } = entry;
    const { steadyMs } = this.#options;
    const nowMs = steadyMs();
    this.#noticeLoss(entry, nowMs);
    allowance.expire(window.held, nowMs);
    if (this.#isLost && nowMs - this.#probedMs < PROBE_MS) {
      entry.refresh(true);
      return;
    }
    const request = allowance.request(use, need, nowMs, this.#seenMs, isTick);
    entry.refresh(this.isLost(entry));
    if (request === undefined) {
      return;
    }
    this.#probedMs = nowMs;
    this.#allowances.exchange(request, (answer) => {
      if (this.#isClosed || answer === undefined) {
        return;
      }
      this.#seenMs = Math.max(this.#seenMs, answer.nowMs);
      this.#available();
      if (!allowance.isAwaited(answer)) {
        return;
      }
      entry.noteOverdrawn();
      const wasWanted = allowance.isWanted(steadyMs());
      allowance.answered(answer, steadyMs());
      entry.answered(answer, this.#options.nowMs());
      if (this.#whenSettled !== undefined) {
        this.#settle(entry);
        return;
      }
      this.#local.allowanceGrew(window.bucket);
      this.#answered(entry);
      if (answer.isWanted && !wasWanted) {
        this.giveWay(entry);
      }
    });
  }

  /** Reports and gives back what nothing needs here, where another replica lacks units. */
  giveWay(entry: SharedEntry): void {
    const { allowance, line, window } = entry;
    if (allowance.isWanted(this.#options.steadyMs()) && line.isEmpty) {
      this.send(entry, window.bucket.waiting > 0 ? entry.need : nothingNeeded, true);
    }
  }

  /** Waits for answers again, because the connection to the store works again. */
  resume(): void {
    const nowMs = this.#options.steadyMs();
    for (const { allowance } of this.#active) {
      allowance.waitAgain(nowMs);
    }
    this.#available();
  }

  activate(entry: SharedEntry): void {
    if (!entry.isActive) {
      entry.isActive = true;
      this.#active.add(entry);
      entry.window.bucket.openAllowances++;
      this.#cancelTick ??= this.#options.schedule(INTERVAL_MS, this.#tick);
    }
  }

  /**
   * Reports what was spent and gives back the rest. Calls `done` once the store has confirmed that,
   * at the latest after `timeoutMs`.
   */
  giveBack(timeoutMs: number, done: () => void): void {
    let cancel: Cancel = () => {};
    const end = () => {
      cancel();
      this.#whenSettled = undefined;
      this.close();
      done();
    };
    this.#whenSettled = end;
    cancel = this.#options.schedule(timeoutMs, end);
    for (const entry of this.#active) {
      this.#finalUses.set(entry, { used: entry.window.used, held: entry.window.held });
    }
    this.#cancelTick?.();
    if (this.#finalUses.size === 0) {
      end();
    } else {
      this.#settleAgain();
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelTick?.();
    for (const { window } of this.#active) {
      window.bucket.openAllowances--;
    }
    this.#active.clear();
  }

  readonly #tick = (): void => {
    this.#cancelTick = undefined;
    if (this.#whenSettled !== undefined) {
      this.#settleAgain();
      return;
    }
    const atMs = this.#options.nowMs();
    const steadyMs = this.#options.steadyMs();
    for (const entry of this.#active) {
      const { window, allowance } = entry;
      this.#local.table.find(window.bucket.ref, atMs);
      entry.pastSinceMs = window === window.bucket.window ? undefined : (entry.pastSinceMs ?? steadyMs);
      if (window.share !== entry || steadyMs - (entry.pastSinceMs ?? steadyMs) >= KEPT_AFTER_END_MS) {
        this.#deactivate(entry);
        continue;
      }
      entry.follow(this.revision);
      allowance.measure(window);
      this.send(entry, window.bucket.waiting > 0 ? entry.need : nothingNeeded, true);
      if (isIdle(entry)) {
        this.#deactivate(entry);
        entry.settled();
      }
    }
    if (this.#active.size > 0) {
      this.#cancelTick = this.#options.schedule(INTERVAL_MS, this.#tick);
    }
  };

  #settleAgain(): void {
    for (const entry of [...this.#finalUses.keys()]) {
      this.#settle(entry);
    }
    if (this.#finalUses.size > 0) {
      this.#cancelTick = this.#options.schedule(SETTLE_AGAIN_MS, this.#tick);
    }
  }

  #deactivate(entry: SharedEntry): void {
    this.#active.delete(entry);
    entry.isActive = false;
    entry.window.bucket.openAllowances--;
  }

  /** Sends the last report of an entry, until the store has confirmed it. */
  #settle(entry: SharedEntry): void {
    const use = this.#finalUses.get(entry);
    if (use === undefined) {
      return;
    }
    entry.allowance.rest();
    if (entry.allowance.isGivenBack(use)) {
      this.#finalUses.delete(entry);
      if (this.#finalUses.size === 0) {
        this.#whenSettled?.();
      }
      return;
    }
    this.send(entry, nothingNeeded, true, use);
  }

  /** Declares the store lost where neither this entry nor any other has an answer. */
  #noticeLoss({ allowance }: SharedEntry, nowMs: number): void {
    const sinceMs = allowance.unansweredSinceMs;
    if (!this.#isLost && sinceMs !== undefined && nowMs - sinceMs >= LOSS_MS && nowMs - this.#answeredMs >= LOSS_MS) {
      this.#isLost = true;
      this.#options.onStoreState('lost');
      for (const entry of [...this.#active]) {
        entry.refresh(true);
        this.#local.allowanceGrew(entry.window.bucket);
        this.#answered(entry);
      }
    }
  }

  #available(): void {
    this.#answeredMs = this.#options.steadyMs();
    if (this.#isLost) {
      this.#isLost = false;
      this.#options.onStoreState('available');
      for (const entry of this.#active) {
        entry.refresh(false);
      }
    }
  }
}

/** Whether nothing of a window is left to report, to give back or to keep. */
function isIdle({ window, allowance, line }: SharedEntry): boolean {
  return window.openHolds === 0 && line.isEmpty && allowance.isSettled(window);
}
