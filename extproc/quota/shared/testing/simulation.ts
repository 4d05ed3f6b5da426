/**
 * A simulation of replicas that share a store: messages are lost, delayed and repeated, replicas
 * crash and are cut off, and clocks jump. Everything follows from the random source, so a seed
 * repeats a run. Each step checks what the store promises.
 */
import type { Quota } from '../../../../contract/policy.ts';
import type { Random } from '../../../../tools/fuzz/random.ts';
import type { OpenHold, WindowState } from '../../bucket.ts';
import { MemoryStore } from '../../memory.ts';
import { memoryDefaults } from '../../memory-options.ts';
import type { Cancel } from '../../store.ts';
import { bucket, demand, lifetime, minute, quota, SimulatedTime } from '../../testing.ts';
import type { AllowanceAnswer, AllowanceRequest } from '../allowances.ts';
import { MemoryAllowances } from '../memory-allowances.ts';
import type { SharedEntry } from '../shared-entry.ts';
import { SharedQuotaStore } from '../shared-quota-store.ts';

const quotas: readonly Quota[] = [
  quota('TotalTokens', 200_000, { window: lifetime, queueTimeoutMs: 500 }),
  quota('OutputTokens', 3_000, { window: minute }),
  quota('Requests', 60, { window: minute }),
];
const teams = ['a', 'b'];

/** The longest that an extension may take. */
const MAX_EXTENSION_MS = 50;
/** Clocks differ by less than the time for which the store keeps ended windows. */
const MAX_STORE_JUMP_MS = 240_000;
const MAX_REPLICA_JUMP_MS = 300_000;

interface Replica {
  readonly store: SharedQuotaStore;
  readonly holds: OpenHold[];
  /** Requests without a decision. */
  undecided: number;
  isAlive: boolean;
  isCutOff: boolean;
  clockOffsetMs: number;
}

/** What really happened in a window. */
interface Truth {
  settled: number;
  /** Held by replicas that crashed. */
  lost: number;
}

export interface SimulationCounts {
  steps: number;
  granted: number;
  refused: number;
  crashes: number;
  messages: number;
}

export class Simulation {
  readonly counts: SimulationCounts = { steps: 0, granted: 0, refused: 0, crashes: 0, messages: 0 };
  readonly #chance: Random;
  readonly #time = new SimulatedTime();
  #storeOffsetMs = 0;
  readonly #allowances = new MemoryAllowances(() => this.#time.nowMs + this.#storeOffsetMs);
  readonly #replicas: Replica[] = [];
  readonly #truths = new Map<string, Truth>();
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
    const replica = this.#replicas[this.#chance.between(0, this.#replicas.length - 1)]!;
    const choice = this.#chance.next();
    if (choice < 0.3) {
      this.#reserve(replica);
    } else if (choice < 0.45) {
      this.#extend(replica);
    } else if (choice < 0.7) {
      this.#settle(replica, this.#chance.between(0, replica.holds.length - 1));
    } else if (choice < 0.97) {
      this.#time.pass(this.#chance.between(0, 300));
    } else if (choice < 0.98) {
      this.#time.pass(this.#chance.between(0, 20_000));
    } else if (choice < 0.99) {
      replica.isCutOff = !replica.isCutOff;
    } else if (choice < 0.993) {
      this.#crash(replica);
    } else if (choice < 0.996) {
      this.#storeOffsetMs = this.#chance.between(-MAX_STORE_JUMP_MS / 2, MAX_STORE_JUMP_MS / 2);
    } else {
      replica.clockOffsetMs = this.#chance.between(-MAX_REPLICA_JUMP_MS, MAX_REPLICA_JUMP_MS);
    }
    this.#check();
  }

  /** Lets everything end, and checks that each unit was charged once. */
  finish(): void {
    this.#isCalm = true;
    this.#storeOffsetMs = 0;
    for (const replica of this.#replicas) {
      replica.isCutOff = false;
      replica.clockOffsetMs = 0;
    }
    this.#time.pass(2_000);
    for (const replica of this.#replicas) {
      while (replica.holds.length > 0) {
        this.#settle(replica, 0);
      }
    }
    // The allowances of crashed replicas end, also those granted while the store's clock was ahead.
    this.#time.pass(MAX_STORE_JUMP_MS);
    this.#check();
    for (const [{ key }, { spent, taken, recovered }] of this.#allowances.windows()) {
      const { settled } = this.#truths.get(key) ?? { settled: 0 };
      expect(settled <= spent, `${key}: ${settled} settled, but only ${spent} charged`);
      expect(taken === spent, `${key}: ${taken - spent} units were never given back`);
      if (!key.includes('Requests')) {
        expect(
          spent <= settled + recovered,
          `${key}: ${settled} settled, but ${spent} charged (${recovered} recovered)`,
        );
      }
    }
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
      newId: () => `allowance-${++this.#ids}`,
      schedule: (delayMs: number, callback: () => void): Cancel =>
        this.#time.schedule(delayMs, () => replica.isAlive && callback()),
      onStoreState: () => {},
    };
    const replica: Replica = {
      store: new SharedQuotaStore(options, new MemoryStore(options, undefined)),
      holds: [],
      undecided: 0,
      isAlive: true,
      isCutOff: false,
      clockOffsetMs: 0,
    };
    replica.store.useAllowances({ exchange: (request, done) => this.#exchange(replica, request, done) });
    replica.store.define(quotas, { epoch: 1, counter: 1 }, this.#time.nowMs);
    return replica;
  }

  /** Carries a request and its answer over an unreliable network. */
  #exchange(replica: Replica, request: AllowanceRequest, done: (answer: AllowanceAnswer | undefined) => void): void {
    this.counts.messages++;
    this.#carry(replica, () =>
      this.#allowances.exchange(request, (answer) =>
        this.#carry(replica, () => {
          if (replica.isAlive) {
            done(answer);
          }
        }),
      ),
    );
  }

  #carry(replica: Replica, deliver: () => void): void {
    const copies = this.#isCalm ? 1 : this.#copies();
    for (let copy = 0; copy < copies; copy++) {
      const isLate = !this.#isCalm && this.#chance.next() < 0.02;
      this.#time.schedule(this.#chance.between(1, isLate ? 15_000 : 10), () => {
        if (!replica.isCutOff) {
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
    const team = teams[this.#chance.between(0, teams.length - 1)]!;
    const drawn = quotas.filter(() => this.#chance.next() < 0.7).map((of) => bucket(of, team));
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
    const amounts: number[] = [];
    for (const { index: draw, held, window } of hold.parts) {
      const amount = Math.floor(held * share);
      amounts[draw] = amount;
      this.#truthOf(window).settled += amount;
    }
    replica.store.settle(hold, { amounts, cause: 'in_flight' }, this.#time.nowMs + replica.clockOffsetMs, () => {});
  }

  #crash(replica: Replica): void {
    this.counts.crashes++;
    replica.isAlive = false;
    for (const { parts } of replica.holds) {
      for (const { window, held } of parts) {
        this.#truthOf(window).lost += held;
      }
    }
    this.#replicas[this.#replicas.indexOf(replica)] = this.#start();
  }

  /** Checks spent + held ≤ what the store has set aside ≤ limit. */
  #check(): void {
    const open = new Map<string, number>();
    for (const { holds } of this.#replicas) {
      for (const { parts } of holds) {
        for (const { window, held } of parts) {
          expect(held >= 0, `a hold of ${held}`);
          const key = keyOf(window);
          open.set(key, (open.get(key) ?? 0) + held);
        }
      }
    }
    for (const [window, { taken }] of this.#allowances.windows()) {
      const { settled, lost } = this.#truths.get(window.key) ?? { settled: 0, lost: 0 };
      const held = open.get(window.key) ?? 0;
      expect(taken <= window.limit, `${window.key}: ${taken} of ${window.limit} taken`);
      expect(
        settled + lost + held <= taken,
        `${window.key}: ${settled} settled, ${lost} lost and ${held} held, but ${taken} taken`,
      );
    }
  }

  #truthOf(window: WindowState): Truth {
    const key = keyOf(window);
    let truth = this.#truths.get(key);
    if (truth === undefined) {
      truth = { settled: 0, lost: 0 };
      this.#truths.set(key, truth);
    }
    return truth;
  }
}

/** Returns the name by which the shared store knows a window. */
function keyOf({ share }: WindowState): string {
  return (share as SharedEntry).allowance.window.key;
}

function expect(holds: boolean, message: string): void {
  if (!holds) {
    throw new Error(message);
  }
}
