/** The shared store in memory: the reference for other implementations, and for simulations. */
import {
  type AllowanceAnswer,
  type AllowanceRequest,
  type AllowanceStore,
  KEPT_AFTER_END_MS,
  MAX_AHEAD_MS,
  type SharedWindow,
} from './allowances.ts';
import { WindowRecord, type WindowTotals } from './window-record.ts';

/** Windows inspected for each new one, so that forgetting keeps pace with creation. */
const SWEPT_PER_NEW_WINDOW = 8;

export class MemoryAllowances implements AllowanceStore {
  readonly #nowMs: () => number;
  readonly #windows = new Map<string, WindowRecord>();
  #unswept: MapIterator<WindowRecord> = this.#windows.values();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  exchange(request: AllowanceRequest, done: (answer: AllowanceAnswer | undefined) => void): void {
    const nowMs = this.#nowMs();
    const record = this.#record(request, nowMs);
    if (record === undefined) {
      done(refused(request, nowMs));
      return;
    }
    const { window, earlierKeys = [], laterKeys = [] } = request;
    const earlier = [window.previousKey, ...earlierKeys].map((key) => this.#known(key, nowMs));
    const answer = record.exchange(request, earlier, nowMs);
    record.carryDebt(laterKeys.map((key) => this.#known(key, nowMs)));
    done(answer);
  }

  /** Returns the state of a window; undefined: it is not known. */
  totals(key: string): WindowTotals | undefined {
    const nowMs = this.#nowMs();
    return this.#known(key, nowMs)?.totals(nowMs);
  }

  /** Returns a copy of the present state, as a standby of the store has it. */
  fork(): MemoryAllowances {
    const fork = new MemoryAllowances(this.#nowMs);
    for (const [key, record] of this.#windows) {
      fork.#windows.set(key, record.copy());
    }
    return fork;
  }

  /** Returns the windows that are not forgotten. */
  *windows(): Generator<readonly [SharedWindow, WindowTotals]> {
    const nowMs = this.#nowMs();
    for (const record of this.#windows.values()) {
      if (record.forgottenMs > nowMs) {
        yield [record.window, record.totals(nowMs)];
      }
    }
  }

  #known(key: string, nowMs: number): WindowRecord | undefined {
    const record = this.#windows.get(key);
    return record !== undefined && record.forgottenMs > nowMs ? record : undefined;
  }

  /** Returns undefined for a window that is forgotten, or too far in the future. */
  #record({ window, seenMs }: AllowanceRequest, nowMs: number): WindowRecord | undefined {
    let record = this.#known(window.key, nowMs);
    if (record !== undefined) {
      return record;
    }
    this.#windows.delete(window.key);
    if (window.endMs + KEPT_AFTER_END_MS <= Math.max(nowMs, seenMs) || window.startMs > nowMs + MAX_AHEAD_MS) {
      return undefined;
    }
    this.#sweep(nowMs);
    record = new WindowRecord(window, nowMs);
    this.#windows.set(window.key, record);
    return record;
  }

  #sweep(nowMs: number): void {
    for (let count = 0; count < SWEPT_PER_NEW_WINDOW; count++) {
      const next = this.#unswept.next();
      if (next.done) {
        this.#unswept = this.#windows.values();
        return;
      }
      if (next.value.forgottenMs <= nowMs) {
        this.#windows.delete(next.value.window.key);
      }
    }
  }
}

function refused({ allowance, number }: AllowanceRequest, nowMs: number): AllowanceAnswer {
  const totals = { limit: 0, spent: 0, spentBefore: 0, taken: 0, replicas: 0, isWanted: false };
  return { allowance, number, state: 'refused', units: 0, ...totals, retryMs: 0, ageMs: 0, nowMs, clockMs: 0 };
}
