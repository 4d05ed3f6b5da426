/** What really happened in a simulation, and what the shared store promises about it. */
import type { WindowState } from '../../bucket.ts';
import { type AllowanceRequest, KEPT_AFTER_END_MS } from '../allowances.ts';
import type { MemoryAllowances } from '../memory-allowances.ts';
import { SharedEntry } from '../shared-entry.ts';
import type { WindowTotals } from '../window-record.ts';

/** The part of a limit that `Degrade` lets a replica spend without the store. */
const LOCAL_SHARE = 0.05;
const MINUTE_MS = 60_000;

/** The truth about a window. */
export interface WindowTruth {
  settled: number;
  /** Held by replicas that crashed. */
  lost: number;
  /** Charged or held by crashed replicas beyond their allowances. */
  lostBeyond: number;
  /** The most that live replicas had at once beyond their allowances. */
  mostBeyond: number;
  /** Charged beyond what was held. */
  overdraft: number;
  /** What the store took for replicas in writes that a failover lost. */
  failedOver: number;
  /** The highest limit so far, with grants. */
  limit: number;
  /** What the store took in records of a sliding window that it has forgotten. */
  slidOut: number;
  /** Everything that the store has taken in its present record. */
  recorded: number;
  isReset: boolean;
  /** Whether the store forgot or lost the window, so that replicas report again. */
  isBegunAgain: boolean;
  /** Whether the store began a window again that no replica could know to be forgotten. */
  isForgotten: boolean;
}

export class Truth {
  readonly #windows = new Map<string, WindowTruth>();
  /** What each exchange since the standby's state took, by window. */
  readonly #unreplicated = new Map<string, number>();
  /** Overdrafts of all windows of a bucket. */
  readonly #overdrafts = new Map<string, number>();
  /** The highest time of the store so far. */
  #latestMs = 0;

  of(key: string): WindowTruth {
    let truth = this.#windows.get(key);
    if (truth === undefined) {
      const nothing = { settled: 0, lost: 0, lostBeyond: 0, mostBeyond: 0, overdraft: 0, failedOver: 0, limit: 0 };
      truth = { ...nothing, slidOut: 0, recorded: 0, isReset: false, isBegunAgain: false, isForgotten: false };
      this.#windows.set(key, truth);
    }
    return truth;
  }

  overdraft(key: string, bucket: string, units: number): void {
    this.of(key).overdraft += units;
    this.#overdrafts.set(bucket, (this.#overdrafts.get(bucket) ?? 0) + units);
  }

  /** Notes the store's clock. */
  clock(storeMs: number): void {
    this.#latestMs = Math.max(this.#latestMs, storeMs);
  }

  /**
   * Notes an exchange. `seenMs`: the highest time of the store that the replica knew as it asked;
   * `before` undefined: the store did not know the window.
   */
  exchanged(
    { window, operation }: AllowanceRequest,
    seenMs: number,
    before: WindowTotals | undefined,
    after: WindowTotals,
  ): void {
    const { key, endMs } = window;
    const known = this.#windows.get(key);
    if (before === undefined && known !== undefined) {
      const forgottenMs = endMs + KEPT_AFTER_END_MS;
      expect(seenMs < forgottenMs, `${key}: begins again, although the replica saw it end`);
      known.isForgotten ||= this.#latestMs >= forgottenMs;
      known.isBegunAgain = true;
    }
    const truth = this.of(key);
    if (before === undefined && window.type === 'sliding') {
      truth.slidOut += truth.recorded;
    }
    truth.isReset ||= operation === 'reset';
    truth.recorded = recordedBy(after);
    truth.limit = Math.max(truth.limit, after.limit);
    // A reset lowers what is taken in the exchange that takes more.
    const recorded = recordedBy(after) - (before === undefined ? 0 : recordedBy(before));
    const more = Math.max(0, recorded, after.taken - (before?.taken ?? 0));
    this.#unreplicated.set(key, (this.#unreplicated.get(key) ?? 0) + more);
  }

  /** The standby has everything. */
  replicated(): void {
    this.#unreplicated.clear();
  }

  /** The standby takes over, without what is not replicated. */
  failedOver(): void {
    for (const [key, units] of this.#unreplicated) {
      this.of(key).failedOver += units;
    }
    this.#unreplicated.clear();
  }

  /** Checks one replica against its allowances. */
  checkLocal(windows: Iterable<WindowState>): void {
    for (const { share, used, held, bucket } of windows) {
      if (!(share instanceof SharedEntry)) {
        continue;
      }
      const { allowance, limit } = share;
      const { mode, onStoreLoss } = bucket.definition.quota;
      const { key, type } = allowance.window;
      const { overdraft, failedOver, isBegunAgain } = this.of(key);
      if (isBegunAgain || mode === 'Shadow' || onStoreLoss === 'FailOpen' || failedOver > 0 || type === 'concurrent') {
        continue;
      }
      const local = onStoreLoss === 'Degrade' ? Math.ceil(Math.max(limit, this.of(key).limit) * LOCAL_SHARE) : 0;
      expect(
        used + held <= allowance.budget + local + overdraft,
        `${key}: a replica charged ${used} and holds ${held} of ${allowance.budget} (${local} without the store)`,
      );
    }
  }

  /**
   * Checks what the store knows: all that replicas charged or hold, except what they took without
   * it, and never more than the limit.
   */
  checkStore(allowances: MemoryAllowances, open: ReadonlyMap<string, OpenUse>): void {
    for (const [{ key, bucket, type }, { taken, spent, charged }] of allowances.windows()) {
      const truth = this.#windows.get(key);
      if (truth === undefined || truth.isForgotten) {
        continue;
      }
      const { held, beyond, isFailClosed } = open.get(key) ?? { held: 0, beyond: 0, isFailClosed: false };
      truth.mostBeyond = Math.max(truth.mostBeyond, beyond);
      const { settled, lost, lostBeyond, failedOver, slidOut } = truth;
      if (isFailClosed) {
        const over = (this.#overdrafts.get(bucket) ?? 0) + failedOver;
        expect(taken <= truth.limit + over, `${key}: ${taken} of ${truth.limit} taken (${over} overdrawn or lost)`);
      }
      if (type === 'fixed' && !truth.isReset) {
        expect(spent >= charged, `${key}: ${charged} charged, but only ${spent} count as spent`);
      }
      if (type !== 'concurrent') {
        const known = slidOut + charged + taken - spent;
        expect(
          settled + lost + held <= known + beyond + lostBeyond + failedOver,
          `${key}: ${settled} settled, ${lost} lost and ${held} held, but the store knows ${known}; ` +
            `${beyond} and ${lostBeyond} beyond allowances, a failover lost ${failedOver}`,
        );
      }
    }
  }

  /** Checks that each unit was charged once, after everything has ended. */
  checkEnd(allowances: MemoryAllowances): void {
    this.#checkDebts(allowances);
    for (const [{ key, type }, { spent, taken, recovered, charged }] of allowances.windows()) {
      const { settled, failedOver, overdraft, lostBeyond, mostBeyond, isForgotten, slidOut } = this.of(key);
      expect(taken === spent, `${key}: ${taken - spent} units were never given back`);
      if (isForgotten || type === 'concurrent') {
        continue;
      }
      expect(
        settled <= slidOut + charged + failedOver + lostBeyond,
        `${key}: ${settled} settled, but only ${charged} charged (a failover lost ${failedOver})`,
      );
      // A late request may open an allowance again that a failover lost. What is beyond an
      // allowance is reported again where a minute leaves open whether it arrived.
      const maybeTwice = failedOver + overdraft;
      if (!key.includes('Requests') && mostBeyond <= maybeTwice) {
        expect(
          charged <= settled + recovered + maybeTwice,
          `${key}: ${settled} settled, but ${charged} charged (${recovered} recovered)`,
        );
      }
    }
  }

  /**
   * Checks that the debt of each window is what those before it owe and do not pay by their limits.
   * What an ended allowance had left is carried by the next exchange of its window, if any.
   */
  #checkDebts(allowances: MemoryAllowances): void {
    const known = [...allowances.windows()].sort(([one], [other]) => one.startMs - other.startMs);
    for (const [{ bucket, startMs, limit, key }, { debt, forgivenDebt }] of known) {
      const earlier = known.filter(([before]) => before.bucket === bucket && before.endMs <= startMs);
      const last = earlier.at(-1);
      if (last !== undefined) {
        const [{ endMs }, { owed }] = last;
        const unused = Math.round((startMs - endMs) / MINUTE_MS);
        const recovered = earlier.reduce((sum, [, totals]) => sum + totals.recovered, 0);
        expect(
          debt >= owed - unused * limit - forgivenDebt - recovered,
          `${key}: has a debt of ${debt}, but ${unused + 1} windows before it, ${owed} are owed`,
        );
      }
    }
  }
}

/** Returns everything that was charged, and what allowances have left. */
function recordedBy({ charged, taken, spent }: WindowTotals): number {
  return charged + taken - spent;
}

/** What live replicas have of a window. */
export interface OpenUse {
  held: number;
  /** Charged or held beyond allowances. */
  beyond: number;
  isFailClosed: boolean;
}

/** Returns what a replica charged and holds beyond its allowance. */
export function beyondAllowance({ used, held, share }: WindowState): number {
  return share instanceof SharedEntry ? Math.max(0, used + held - share.allowance.budget) : 0;
}

export function expect(holds: boolean, message: string): void {
  if (!holds) {
    throw new Error(message);
  }
}
