/** The shared store in memory: the reference for other implementations, and for simulations. */
import type { AllowanceAnswer, AllowanceRequest, AllowanceStore, SharedWindow } from './allowances.ts';

/**
 * How long a window is kept after its end. Replicas whose clocks are late by more get nothing for
 * it, because what was spent is forgotten.
 */
const KEPT_AFTER_END_MS = 600_000;
/** How far the clock of a replica may be ahead of the store's. */
const MAX_AHEAD_MS = 60_000;
/** How long the charge of an ended allowance is known: longer than any message is on its way. */
const KEPT_ENDED_MS = 60_000;

interface OpenAllowance {
  units: number;
  spent: number;
  expiresMs: number;
  number: number;
}

interface WindowRecord {
  readonly window: SharedWindow;
  /** Charged for ended allowances. */
  charged: number;
  /** The part of `charged` that was not reported as spent. */
  recovered: number;
  readonly open: Map<string, OpenAllowance>;
  readonly ended: Map<string, { readonly units: number; readonly forgottenMs: number }>;
}

/** What has become of the limit of a window. */
export interface WindowTotals {
  readonly spent: number;
  readonly taken: number;
  readonly recovered: number;
}

export class MemoryAllowances implements AllowanceStore {
  readonly #nowMs: () => number;
  readonly #windows = new Map<string, WindowRecord>();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  exchange(request: AllowanceRequest, done: (answer: AllowanceAnswer) => void): void {
    done(this.#exchange(request, this.#nowMs()));
  }

  /** Returns the windows that are not forgotten. */
  *windows(): Generator<readonly [SharedWindow, WindowTotals]> {
    const nowMs = this.#nowMs();
    for (const record of this.#windows.values()) {
      expire(record, nowMs);
      yield [record.window, totalsOf(record)];
    }
  }

  #exchange(request: AllowanceRequest, nowMs: number): AllowanceAnswer {
    const record = this.#record(request.window, nowMs);
    if (record === undefined) {
      return answer(request, 'ended', undefined, { spent: 0, taken: 0 });
    }
    expire(record, nowMs);
    const known = record.open.get(request.allowance);
    const ended = record.ended.get(request.allowance);
    if (known === undefined && (ended !== undefined || request.number !== 1)) {
      return answer(request, 'ended', ended?.units, totalsOf(record));
    }
    const allowance = known ?? { units: 0, spent: 0, expiresMs: 0, number: 0 };
    record.open.set(request.allowance, allowance);
    if (request.number > allowance.number) {
      apply(record, allowance, request);
      allowance.number = request.number;
      allowance.expiresMs = nowMs + request.ttlMs;
    }
    return answer(request, 'open', allowance.units, totalsOf(record));
  }

  /** Returns undefined for a window that is forgotten, or too far in the future. */
  #record(window: SharedWindow, nowMs: number): WindowRecord | undefined {
    if (window.endMs + KEPT_AFTER_END_MS <= nowMs || window.startMs > nowMs + MAX_AHEAD_MS) {
      return undefined;
    }
    let record = this.#windows.get(window.key);
    if (record === undefined) {
      this.#forget(nowMs);
      record = { window, charged: 0, recovered: 0, open: new Map(), ended: new Map() };
      this.#windows.set(window.key, record);
    }
    return record;
  }

  #forget(nowMs: number): void {
    for (const [key, { window }] of this.#windows) {
      if (window.endMs + KEPT_AFTER_END_MS <= nowMs) {
        this.#windows.delete(key);
      }
    }
  }
}

/** Ends the allowances whose replica is silent, and charges them in full. */
function expire(record: WindowRecord, nowMs: number): void {
  for (const [id, { units, spent, expiresMs }] of record.open) {
    if (expiresMs <= nowMs) {
      const charged = Math.max(units, spent);
      record.charged += charged;
      record.recovered += charged - spent;
      record.open.delete(id);
      record.ended.set(id, { units: charged, forgottenMs: nowMs + KEPT_ENDED_MS });
    }
  }
  for (const [id, { forgottenMs }] of record.ended) {
    if (forgottenMs > nowMs) {
      break;
    }
    record.ended.delete(id);
  }
}

function apply(record: WindowRecord, allowance: OpenAllowance, { window, spent, want, least }: AllowanceRequest): void {
  allowance.spent = Math.max(allowance.spent, spent);
  allowance.units = Math.max(allowance.units, allowance.spent);
  const target = allowance.spent + want;
  if (target <= allowance.units) {
    allowance.units = target;
    return;
  }
  const free = Math.max(0, window.limit - totalsOf(record).taken);
  // Near the end, each replica gets a part only, so that none is refused what others do not use.
  const share = Math.max(Math.min(least, free), Math.floor(free / 2 / record.open.size));
  allowance.units += Math.min(target - allowance.units, share);
}

function totalsOf({ charged, recovered, open }: WindowRecord): WindowTotals {
  let spent = charged;
  let taken = charged;
  for (const allowance of open.values()) {
    spent += allowance.spent;
    taken += Math.max(allowance.units, allowance.spent);
  }
  return { spent, taken, recovered };
}

function answer(
  { allowance, number }: AllowanceRequest,
  state: AllowanceAnswer['state'],
  units: number | undefined,
  { spent, taken }: Pick<WindowTotals, 'spent' | 'taken'>,
): AllowanceAnswer {
  return { allowance, number, state, units, spent, taken };
}
