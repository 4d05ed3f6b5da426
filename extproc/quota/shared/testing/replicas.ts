/** Test helpers: replicas that share a store in memory, over a network with a round trip time. */
import type { Quota } from '../../../../contract/policy.ts';
import { MemoryStore } from '../../memory.ts';
import { memoryDefaults } from '../../memory-options.ts';
import type { Journal } from '../../persistence.ts';
import type { BudgetAlert, Charge, Decision, Demand, FlatCharge, Hold, Overdraft } from '../../store.ts';
import { SimulatedTime } from '../../testing.ts';
import type { AllowanceRequest, AllowanceStore } from '../allowances.ts';
import { MemoryAllowances } from '../memory-allowances.ts';
import { SharedQuotaStore } from '../shared-quota-store.ts';
import type { SharingState } from '../shared-windows.ts';

export interface TestReplica {
  readonly store: SharedQuotaStore;
  readonly local: MemoryStore;
  readonly states: SharingState[];
}

export class Replicas {
  readonly time = new SimulatedTime();
  allowances = new MemoryAllowances(() => this.time.nowMs);
  readonly requests: AllowanceRequest[] = [];
  readonly alerts: BudgetAlert[] = [];
  /** Overdrafts that no request was told of. */
  readonly overdrafts: Overdraft[] = [];
  roundTripMs = 2;
  /** Whether the shared store answers. */
  isReachable = true;
  #ids = 0;
  #revision = 0;

  /** Returns a replica that shares its quotas, unless `isShared` is false. */
  add(quotas: readonly Quota[], isShared = true, journal?: Journal): TestReplica {
    const states: SharingState[] = [];
    const options = {
      ...memoryDefaults,
      nowMs: () => this.time.nowMs,
      steadyMs: () => this.time.nowMs,
      schedule: this.time.schedule,
      newId: () => `id-${++this.#ids}`,
      onStoreState: (state: SharingState) => states.push(state),
      onAlert: (alert: BudgetAlert) => this.alerts.push(alert),
      onOverdraft: (overdraft: Overdraft) => this.overdrafts.push(overdraft),
    };
    const local = new MemoryStore(options, journal);
    const store = new SharedQuotaStore(options, local);
    if (isShared) {
      store.useAllowances(this.network);
    }
    this.define({ store, local, states }, quotas);
    return { store, local, states };
  }

  readonly network: AllowanceStore = {
    exchange: (request, done) => {
      this.requests.push(request);
      this.time.schedule(this.roundTripMs / 2, () => {
        if (this.isReachable) {
          this.allowances.exchange(request, (answer) =>
            this.time.schedule(this.roundTripMs / 2, () => this.isReachable && done(answer)),
          );
        }
      });
    },
  };

  define({ store }: TestReplica, quotas: readonly Quota[]): void {
    store.define(quotas, { epoch: 1, counter: ++this.#revision }, this.time.nowMs);
  }

  /** Starts an admission. The result is filled once it is decided. */
  ask({ store }: TestReplica, demand: Demand): { decision?: Decision } {
    const asked: { decision?: Decision } = {};
    store.reserve(demand, (decision) => {
      asked.decision = decision;
    });
    return asked;
  }

  /** Returns the decision, and lets as much time pass as it takes. */
  decide(replica: TestReplica, demand: Demand): Decision {
    const asked = this.ask(replica, demand);
    for (let ms = 0; asked.decision === undefined; ms++) {
      if (ms > 60_000) {
        throw new Error('no decision within a minute');
      }
      this.time.pass(1);
    }
    return asked.decision;
  }

  settle({ store }: TestReplica, hold: Hold, amount: number | FlatCharge): readonly Overdraft[] {
    let told: readonly Overdraft[] = [];
    const charge: Charge | FlatCharge = typeof amount === 'number' ? { amounts: [amount], cause: 'in_flight' } : amount;
    store.settle(hold, charge, this.time.nowMs, (overdrafts) => {
      told = overdrafts;
    });
    return told;
  }

  /** Returns what the store knows of the windows of a bucket. */
  totals(bucket: string): { readonly spent: number; readonly taken: number; readonly limit: number } | undefined {
    let found: { readonly spent: number; readonly taken: number; readonly limit: number } | undefined;
    for (const [window, { spent, taken, limit }] of this.allowances.windows()) {
      found = window.bucket === bucket ? { spent, taken, limit } : found;
    }
    return found;
  }
}
