/**
 * A simulation of replicas that share a store: messages are lost, delayed and repeated, replicas
 * crash and are cut off, the store is unreachable or fails over to a standby that lacks the last
 * writes, clocks jump by hours, and policies and operators change limits. Everything follows from
 * the random source, so a seed repeats a run. Each step checks what the store promises.
 */
import type { Quota } from '../../../../contract/policy.ts';
import type { Random } from '../../../../tools/fuzz/random.ts';
import type { Bucket, OpenHold, WindowState } from '../../bucket.ts';
import { MemoryStore } from '../../memory.ts';
import { memoryDefaults } from '../../memory-options.ts';
import type { Cancel } from '../../store.ts';
import { bucket, demand, lifetime, minute, quota, SimulatedTime, slidingMinute } from '../../testing.ts';
import type { AllowanceAnswer, AllowanceRequest } from '../allowances.ts';
import { MemoryAllowances } from '../memory-allowances.ts';
import { SharedEntry } from '../shared-entry.ts';
import { SharedQuotaStore } from '../shared-quota-store.ts';
import { beyondAllowance, expect, type OpenUse, Truth } from './truth.ts';

const quotas: readonly Quota[] = [
  quota('TotalTokens', 200_000, { window: lifetime, queueTimeoutMs: 500 }),
  quota('OutputTokens', 3_000, { window: minute, onStoreLoss: 'Degrade' }),
  quota('InputTokens', 2_000, { window: slidingMinute }),
  quota('Requests', 60, { window: minute, onStoreLoss: 'FailOpen' }),
  quota('ConcurrentRequests', 20, { window: { type: 'None' } }),
  quota('TotalTokens', 1_000, { id: 'default/teams/shadow', window: minute, mode: 'Shadow' }),
];
const teams = ['a', 'b'];

/** The longest that an extension may take. */
const MAX_EXTENSION_MS = 50;
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

interface Replica {
  readonly store: SharedQuotaStore;
  readonly local: MemoryStore;
  readonly holds: OpenHold[];
  /** Ended windows in which something may be unreported. */
  readonly windows: Set<WindowState>;
  /** Requests without a decision. */
  undecided: number;
  isAlive: boolean;
  isCutOff: boolean;
  /** The highest time of the store in any answer. */
  seenMs: number;
  clockOffsetMs: number;
}

export interface SimulationCounts {
  steps: number;
  granted: number;
  refused: number;
  crashes: number;
  failovers: number;
  messages: number;
}

export class Simulation {
  readonly counts: SimulationCounts = { steps: 0, granted: 0, refused: 0, crashes: 0, failovers: 0, messages: 0 };
  readonly #chance: Random;
  readonly #time = new SimulatedTime();
  readonly #truth = new Truth();
  #storeOffsetMs = 0;
  #allowances = new MemoryAllowances(() => this.#time.nowMs + this.#storeOffsetMs);
  /** The state of the standby. */
  #standby = this.#allowances.fork();
  #isStoreReachable = true;
  readonly #replicas: Replica[] = [];
  /** What a replica knew of the store's time as it first sent a request. */
  readonly #seenWhenAsked = new WeakMap<AllowanceRequest, number>();
  #quotas = quotas;
  #revision = 1;
  #ids = 0;
  /** No message is lost, delayed for long or repeated. */
  #isCalm = false;

  constructor(chance: Random, replicas: number) {
    this.#chance = chance;
    for (let index = 0; index < replicas; index++) {
      this.#replicas.push(this.#start());
    }
  }

  step(): void {
    this.counts.steps++;
    const replica = this.#pick(this.#replicas);
    const choice = this.#chance.next();
    if (choice < 0.3) {
      this.#reserve(replica);
    } else if (choice < 0.45) {
      this.#extend(replica);
    } else if (choice < 0.7) {
      this.#settle(replica, this.#chance.between(0, replica.holds.length - 1));
    } else if (choice < 0.95) {
      this.#time.pass(this.#chance.between(0, 300));
    } else {
      this.#disturb(replica);
    }
    this.#check();
  }

  /** Lets everything end, and checks that each unit was charged once. */
  finish(): void {
    this.#isCalm = true;
    this.#isStoreReachable = true;
    this.#storeOffsetMs = 0;
    for (const replica of this.#replicas) {
      replica.isCutOff = false;
      replica.clockOffsetMs = 0;
    }
    this.#check();
    this.#time.pass(3_000);
    for (const replica of this.#replicas) {
      while (replica.holds.length > 0) {
        this.#settle(replica, 0);
      }
    }
    // The allowances of crashed replicas end, and windows begin that replicas were in too early.
    this.#time.pass(5 * MINUTE_MS);
    this.#check();
    this.#truth.checkEnd(this.#allowances);
    for (const { store, undecided } of this.#replicas) {
      expect(undecided === 0, `${undecided} requests have no decision`);
      store.close();
    }
  }

  #start(): Replica {
    const options = {
      ...memoryDefaults,
      nowMs: () => this.#time.nowMs + replica.clockOffsetMs,
      steadyMs: () => this.#time.nowMs,
      newId: () => `id-${++this.#ids}`,
      schedule: (delayMs: number, callback: () => void): Cancel =>
        this.#time.schedule(delayMs, () => replica.isAlive && callback()),
      onStoreState: () => {},
    };
    const local = new MemoryStore(options, undefined);
    const replica: Replica = {
      store: new SharedQuotaStore(options, local),
      local,
      holds: [],
      windows: new Set(),
      undecided: 0,
      isAlive: true,
      isCutOff: false,
      seenMs: 0,
      clockOffsetMs: 0,
    };
    replica.store.useAllowances({ exchange: (request, done) => this.#exchange(replica, request, done) });
    replica.store.define(this.#quotas, { epoch: 1, counter: this.#revision }, this.#time.nowMs);
    return replica;
  }

  /** Breaks something, or lets the policy or the operator change something. */
  #disturb(replica: Replica): void {
    const choice = this.#chance.next();
    if (choice < 0.25) {
      this.#time.pass(this.#chance.between(0, 20_000));
    } else if (choice < 0.45) {
      replica.isCutOff = !replica.isCutOff;
    } else if (choice < 0.5) {
      this.#crash(replica);
    } else if (choice < 0.55) {
      this.#isStoreReachable = !this.#isStoreReachable;
    } else if (choice < 0.75) {
      this.#standby = this.#allowances.fork();
      this.#truth.replicated();
    } else if (choice < 0.8) {
      this.counts.failovers++;
      this.#allowances = this.#standby;
      this.#standby = this.#allowances.fork();
      this.#truth.failedOver();
    } else if (choice < 0.84) {
      this.#storeOffsetMs = this.#chance.between(-2 * MINUTE_MS, 2 * MINUTE_MS);
    } else if (choice < 0.86) {
      this.#storeOffsetMs = this.#chance.between(-3 * HOUR_MS, 3 * HOUR_MS);
    } else if (choice < 0.9) {
      replica.clockOffsetMs = this.#chance.between(-5 * MINUTE_MS, 5 * MINUTE_MS);
    } else if (choice < 0.92) {
      replica.clockOffsetMs = this.#chance.between(-3 * HOUR_MS, 3 * HOUR_MS);
    } else if (choice < 0.96) {
      this.#changePolicy();
    } else {
      this.#operate(replica);
    }
  }

  /** Changes a limit. A replica that is cut off follows later or never. */
  #changePolicy(): void {
    const changed = this.#chance.between(0, quotas.length - 1);
    const factor = this.#chance.between(5, 20) / 10;
    this.#quotas = quotas.map((of, index) => {
      const amount = Math.ceil(of.limit.amount * (index === changed ? factor : 1));
      return { ...of, limit: { ...of.limit, amount } as Quota['limit'] };
    });
    this.#revision++;
    for (const { store } of this.#replicas) {
      if (this.#chance.next() < 0.9) {
        store.define(this.#quotas, { epoch: 1, counter: this.#revision }, this.#time.nowMs);
      }
    }
  }

  #operate({ local, clockOffsetMs }: Replica): void {
    const buckets: Bucket[] = [...local.table.buckets.values()];
    if (buckets.length > 0) {
      const of = this.#pick(buckets);
      if (this.#chance.next() < 0.5) {
        local.reset(of);
      } else {
        local.grant(of, this.#chance.between(1, 100), this.#time.nowMs + clockOffsetMs);
      }
    }
  }

  /** Carries a request and its answer over an unreliable network. */
  #exchange(replica: Replica, request: AllowanceRequest, done: (answer: AllowanceAnswer | undefined) => void): void {
    this.counts.messages++;
    const asked = this.#seenWhenAsked.get(request) ?? replica.seenMs;
    this.#seenWhenAsked.set(request, asked);
    this.#carry(replica, () => {
      const before = this.#allowances.totals(request.window.key);
      this.#allowances.exchange(request, (answer) => {
        const after = this.#allowances.totals(request.window.key);
        if (after !== undefined) {
          this.#truth.exchanged(request, asked, before, after);
        }
        this.#carry(replica, () => {
          if (replica.isAlive) {
            replica.seenMs = Math.max(replica.seenMs, answer?.nowMs ?? 0);
            done(answer);
          }
        });
      });
    });
  }

  #carry(replica: Replica, deliver: () => void): void {
    const copies = this.#isCalm ? 1 : this.#copies();
    for (let copy = 0; copy < copies; copy++) {
      const isLate = !this.#isCalm && this.#chance.next() < 0.02;
      this.#time.schedule(this.#chance.between(1, isLate ? 15_000 : 10), () => {
        if (!replica.isCutOff && this.#isStoreReachable) {
          deliver();
        }
      });
    }
  }

  #copies(): number {
    const choice = this.#chance.next();
    return choice < 0.05 ? 0 : choice < 0.1 ? 2 : 1;
  }

  #reserve(replica: Replica): void {
    const team = this.#pick(teams);
    const drawn = this.#quotas.filter(() => this.#chance.next() < 0.7).map((of) => bucket(of, team));
    const least = this.#chance.between(1, 10);
    const usual = least + this.#chance.between(0, 50);
    const output = { mode: 'lease', least, usual, want: usual + this.#chance.between(0, 200) } as const;
    const atMs = this.#time.nowMs + replica.clockOffsetMs;
    replica.undecided++;
    const asked = demand(drawn, atMs, this.#chance.between(0, 100), output, this.#chance.next() < 0.7);
    replica.store.reserve(asked, (decision) => {
      replica.undecided--;
      if (decision.type === 'granted') {
        this.counts.granted++;
        const hold = decision.hold as OpenHold;
        replica.holds.push(hold);
        for (const { window } of hold.parts) {
          replica.windows.add(window);
        }
      } else {
        this.counts.refused += decision.type === 'refused' ? 1 : 0;
      }
    });
  }

  #extend(replica: Replica): void {
    const hold = replica.holds[this.#chance.between(0, replica.holds.length - 1)];
    if (hold === undefined) {
      return;
    }
    const least = this.#chance.between(1, 10);
    const output = { mode: 'lease', least, want: least + this.#chance.between(0, 100) } as const;
    const askedMs = this.#time.nowMs;
    replica.store.extend(hold, output, askedMs + replica.clockOffsetMs, () => {
      const tookMs = this.#time.nowMs - askedMs;
      expect(tookMs <= MAX_EXTENSION_MS, `an extension took ${tookMs} ms`);
    });
  }

  #settle(replica: Replica, index: number): void {
    const [hold] = replica.holds.splice(index, 1);
    if (hold === undefined) {
      return;
    }
    const share = this.#chance.next();
    const over = this.#chance.next() < 0.05 ? this.#chance.between(1, 50) : 0;
    const amounts: number[] = [];
    for (const { index: draw, held, window } of hold.parts) {
      const amount = window.returnsHolds ? 0 : over > 0 ? held + over : Math.floor(held * share);
      amounts[draw] = amount;
      const key = keyOf(window);
      this.#truth.of(key).settled += amount;
      this.#truth.overdraft(key, window.bucket.key, Math.max(0, amount - held));
    }
    replica.store.settle(hold, { amounts, cause: 'in_flight' }, this.#time.nowMs + replica.clockOffsetMs, () => {});
  }

  #crash(replica: Replica): void {
    this.counts.crashes++;
    replica.isAlive = false;
    for (const { parts } of replica.holds) {
      for (const { window, held } of parts) {
        this.#truth.of(keyOf(window)).lost += held;
      }
    }
    for (const window of windowsOf(replica)) {
      this.#truth.of(keyOf(window)).lostBeyond += beyondAllowance(window);
    }
    this.#replicas[this.#replicas.indexOf(replica)] = this.#start();
  }

  #check(): void {
    this.#truth.clock(this.#time.nowMs + this.#storeOffsetMs);
    const open = new Map<string, OpenUse>();
    for (const replica of this.#replicas) {
      const windows = windowsOf(replica);
      this.#truth.checkLocal(windows);
      for (const window of windows) {
        const key = keyOf(window);
        const { mode, onStoreLoss } = window.bucket.definition.quota;
        const isFailClosed = mode === 'Enforce' && onStoreLoss === 'FailClosed';
        const use = open.get(key) ?? { held: 0, beyond: 0, isFailClosed };
        use.held += window.held;
        use.beyond += beyondAllowance(window);
        open.set(key, use);
      }
    }
    this.#truth.checkStore(this.#allowances, open);
  }

  #pick<T>(of: readonly T[]): T {
    return of[this.#chance.between(0, of.length - 1)]!;
  }
}

/** Returns the shared windows in which a replica charged or holds something. */
function windowsOf({ local, windows }: Replica): ReadonlySet<WindowState> {
  for (const { window } of local.table.buckets.values()) {
    windows.add(window);
  }
  for (const window of windows) {
    const isPast = window !== window.bucket.window && window.openHolds === 0;
    const isReported = window.share instanceof SharedEntry && !window.share.isActive && beyondAllowance(window) === 0;
    if (!(window.share instanceof SharedEntry) || (isPast && isReported)) {
      windows.delete(window);
    }
  }
  return windows;
}

/** Returns the name by which the shared store knows a window. */
function keyOf({ share }: WindowState): string {
  return (share as SharedEntry).allowance.window.key;
}
