/** Test helpers: a clock and timers that only `pass` advances, and quotas with defaults. */
import type { CostLimit, CountLimit, Quota, Window } from '../../contract/policy.ts';
import type { ModelPrices } from '../../contract/tokens.ts';
import type { OpenHold } from './bucket.ts';
import { bucketRef } from './keys.ts';
import { MemoryStore } from './memory.ts';
import { type MemoryOptions, memoryDefaults } from './memory-options.ts';
import type { Journal } from './persistence.ts';
import type {
  BucketRef,
  Charge,
  Decision,
  Demand,
  FlatCharge,
  Hold,
  OutputDemand,
  Overdraft,
  OverdraftCause,
} from './store.ts';
import { drawOn } from './units.ts';

export const startMs = Date.parse('2026-11-22T10:00:00Z');

export class SimulatedTime {
  nowMs = startMs;
  readonly #timers = new Set<{ readonly atMs: number; readonly callback: () => void }>();

  readonly schedule = (delayMs: number, callback: () => void) => {
    const timer = { atMs: this.nowMs + delayMs, callback };
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  };

  get pending(): number {
    return this.#timers.size;
  }

  pass(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (;;) {
      const next = [...this.#timers].filter((timer) => timer.atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) {
        break;
      }
      this.#timers.delete(next);
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.callback();
    }
    this.nowMs = untilMs;
  }
}

export function simulate(options: Partial<MemoryOptions> = {}, journal?: Journal) {
  const time = new SimulatedTime();
  const store = new MemoryStore(
    { ...memoryDefaults, nowMs: () => time.nowMs, schedule: time.schedule, ...options },
    journal,
  );
  return { time, store };
}

let revisions = 0;

/** Replaces the definitions of a store, as a newer policy does. */
export function define(store: MemoryStore, quotas: readonly Quota[], atMs: number): void {
  store.define(quotas, { epoch: 1, counter: ++revisions }, atMs);
}

/** Counts what a store has: holds once for each bucket, and admissions that wait. */
export function counts({ table }: MemoryStore) {
  const buckets = [...table.buckets.values()];
  return {
    buckets: buckets.length,
    openHolds: buckets.reduce((sum, { openHolds }) => sum + openHolds, 0),
    waiting: buckets.reduce((sum, { waiting }) => sum + waiting, 0),
  };
}

export const minute: Window = { type: 'Calendar', unit: 'Minute', timeZone: 'UTC' };
export const hour: Window = { type: 'Calendar', unit: 'Hour', timeZone: 'UTC' };
export const slidingMinute: Window = { type: 'Sliding', durationMs: 60_000 };
export const lifetime: Window = { type: 'Lifetime' };

export function quota(type: CountLimit['type'], amount: number, more: Partial<Quota> = {}): Quota {
  return {
    id: `default/teams/${type}`,
    limit: { type, amount },
    window: hour,
    key: [{ type: 'Header', name: 'x-team' }],
    onMissingKey: 'Refuse',
    mode: 'Enforce',
    queueTimeoutMs: 0,
    unbounded: 'Refuse',
    onJournalLoss: 'FailClosed',
    onStoreLoss: 'FailClosed',
    unmetered: 'Refuse',
    onAbandon: 'Hold',
    ...more,
  };
}

/** Returns a quota on cost; `nanos` are nano-units of the currency. */
export function costQuota(nanos: number, more: Partial<Quota> = {}, unpriced: CostLimit['unpriced'] = 'Refuse'): Quota {
  const limit: CostLimit = { type: 'Cost', amount: nanos, currency: 'USD', unpriced };
  return { ...quota('Requests', 1), id: 'default/teams/Cost', limit, ...more };
}

export function bucket(of: Quota, team = 'a'): BucketRef {
  return bucketRef(of, [team]);
}

export const noOutput: OutputDemand = { mode: 'none', want: 0, least: 0 };
export const lease = (want: number, least = 1): OutputDemand => ({ mode: 'lease', want, least });
export const bound = (want: number, least = 1): OutputDemand => ({ mode: 'bound', want, least });

let demands = 0;

export function demand(
  buckets: readonly BucketRef[],
  atMs: number,
  inputTokens: number,
  output: OutputDemand = noOutput,
  inputCounted = true,
  prices?: ModelPrices,
): Demand {
  const draws = buckets.map((ref) => drawOn(ref, prices, inputTokens));
  return { id: `request-${++demands}`, atMs, draws, inputTokens, inputCounted, output };
}

/** Returns the decision, where the store answers at once. */
export function reserve(store: MemoryStore, asked: Demand): Decision | undefined {
  let decision: Decision | undefined;
  store.reserve(asked, (answer) => {
    decision = answer;
  });
  return decision;
}

export function granted(decision: Decision | undefined): { readonly hold: Hold; readonly outputTokens: number } {
  if (decision?.type !== 'granted') {
    throw new Error(`not granted: ${JSON.stringify(decision)}`);
  }
  return decision;
}

/** Returns the tokens granted in addition, where the store answers at once. */
export function extend(store: MemoryStore, hold: Hold, output: OutputDemand, atMs: number): number | undefined {
  let tokens: number | undefined;
  store.extend(hold, output, atMs, (answer) => {
    tokens = answer;
  });
  return tokens;
}

export interface TokenCharge {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cause: OverdraftCause;
}

export function charge(inputTokens: number, outputTokens: number): TokenCharge {
  return { inputTokens, outputTokens, cause: 'in_flight' };
}

/** Settles a hold and returns the overdrafts, where the store answers at once. */
export function settleUnits(
  store: MemoryStore,
  hold: Hold,
  charged: Charge | FlatCharge,
  atMs: number,
): readonly Overdraft[] {
  let told: readonly Overdraft[] | undefined;
  store.settle(hold, charged, atMs, (overdrafts) => {
    told = overdrafts;
  });
  if (told === undefined) {
    throw new Error('the store did not answer at once');
  }
  return told;
}

/** Settles a hold by tokens, which its draws turn into units. */
export function settle(
  store: MemoryStore,
  hold: Hold,
  charged: TokenCharge | FlatCharge,
  atMs: number,
): readonly Overdraft[] {
  if (typeof charged === 'string') {
    return settleUnits(store, hold, charged, atMs);
  }
  const amounts: number[] = [];
  for (const { index, perInputToken, perOutputToken } of (hold as OpenHold).parts) {
    amounts[index] = perInputToken * charged.inputTokens + perOutputToken * charged.outputTokens;
  }
  return settleUnits(store, hold, { amounts, cause: charged.cause }, atMs);
}
