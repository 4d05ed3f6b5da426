/**
 * The quota store of a process whose shared store may change while it runs. Without a shared store,
 * requests are decided by the store in memory as if there were nothing else.
 */
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { SharedStoreConfig } from '../../../../contract/shared-store.ts';
import type { MemoryStore } from '../../memory.ts';
import { memoryDefaults } from '../../memory-options.ts';
import type { AllowanceAnswer, AllowanceRequest, AllowanceStore } from '../allowances.ts';
import type { RestStore, SharedRest } from '../rest-store.ts';
import { SharedQuotaStore } from '../shared-quota-store.ts';
import type { RedisAllowances } from './redis-allowances.ts';
import type { StoreCheck, StoreFault } from './redis-fault.ts';
import type { StoreHealthState } from './store-health.ts';

/** How long a policy waits for the first answer of the store, so that requests need not. */
const CONNECT_MS = 3_000;
/** A store that is used no more gets what is unspent back meanwhile. */
const FAREWELL_MS = 1_000;

export interface SharedStoreStatus {
  /** `unused`: this process counts for itself. */
  readonly state: 'unused' | 'available' | 'lost';
  /** Why it is lost, otherwise empty. */
  readonly reason: string;
}

export interface StoreSwitchOptions {
  readonly nowMs: () => number;
  readonly onError: (error: unknown) => void;
  /** Called once for each change. */
  readonly onStatus: (status: SharedStoreStatus) => void;
  /** Called for each connection. */
  readonly onConnected: (check: StoreCheck) => void;
  readonly onExchange: (outcome: 'answered' | 'failed', latencyMs: number) => void;
}

export class StoreSwitch implements RestStore {
  readonly quotas: SharedQuotaStore;
  readonly #options: StoreSwitchOptions;
  #config: SharedStoreConfig | undefined;
  #redis: RedisAllowances | undefined;
  #line: StoreLine | undefined;
  #status: SharedStoreStatus = { state: 'unused', reason: '' };
  #fault: StoreFault | undefined;
  #changing: Promise<void> = Promise.resolve();

  constructor(options: StoreSwitchOptions, local: MemoryStore) {
    this.#options = options;
    const { nowMs, onError } = options;
    const { maxWaiting, schedule } = memoryDefaults;
    const epoch = randomUUID();
    let ids = 0;
    this.quotas = new SharedQuotaStore(
      {
        nowMs,
        onError,
        maxWaiting,
        schedule,
        newId: () => `${epoch}/${ids++}`,
        steadyMs,
        // The state of the connection, which knows why, is what is reported.
        onStoreState: (state) => {
          if (state === 'lost') {
            this.#redis?.treatedAsLost();
          }
        },
      },
      local,
    );
  }

  get status(): SharedStoreStatus {
    return this.#status;
  }

  /** Counts in this store from now on; undefined: in this process alone. */
  use(config: SharedStoreConfig | undefined): void {
    this.#changing = this.#changing.then(() => this.#change(config)).catch(this.#options.onError);
  }

  /** Resolves once the store of the last `use` has answered or failed. */
  known(): Promise<void> {
    return this.#changing;
  }

  exchangeRests(began: readonly SharedRest[], done: (rests: readonly SharedRest[] | undefined) => void): void {
    const exchanged = this.#redis?.exchangeRests(began) ?? Promise.resolve(undefined);
    exchanged.then(done).catch(this.#options.onError);
  }

  async close(): Promise<void> {
    await this.#changing;
    await this.quotas.giveBack();
    this.#redis?.close();
  }

  async #change(config: SharedStoreConfig | undefined): Promise<void> {
    if (isDeepStrictEqual(config, this.#config)) {
      return;
    }
    const before = this.#redis;
    const known = this.#config;
    this.#config = config;
    this.#redis = undefined;
    if (before !== undefined) {
      memoryDefaults.schedule(FAREWELL_MS, () => before.close());
    }
    if (config === undefined) {
      this.#line = undefined;
      this.quotas.useAllowances(undefined);
      this.#report({ state: 'unused', reason: '' });
      return;
    }
    // Most processes share no store, and start sooner without the client.
    const { RedisAllowances } = await import('./redis-allowances.ts');
    const redis = new RedisAllowances({
      config,
      random: Math.random,
      steadyMs,
      schedule: memoryDefaults.schedule,
      onState: (state) => {
        if (this.#redis === redis) {
          this.#report(statusOf(state));
          this.#resumeAfter(state);
        }
      },
      onConnected: (check) => this.#options.onConnected(check),
      onExchange: this.#options.onExchange,
    });
    this.#redis = redis;
    if (this.#line !== undefined && isSameStore(config, known)) {
      this.#line.redis = redis;
    } else {
      this.#line = new StoreLine(redis);
      this.quotas.useAllowances(this.#line);
    }
    const state = await redis.connect(CONNECT_MS);
    if (this.#status.state === 'unused') {
      this.#report(statusOf(state));
    }
  }

  /** A slow store answers again and again: requests must not wait for it each time. */
  #resumeAfter({ fault }: StoreHealthState): void {
    if (fault === undefined && this.#fault !== undefined && this.#fault.kind !== 'slow') {
      this.quotas.resume();
    }
    this.#fault = fault;
  }

  #report(status: SharedStoreStatus): void {
    if (status.state !== this.#status.state || status.reason !== this.#status.reason) {
      this.#status = status;
      this.#options.onStatus(status);
    }
  }
}

/**
 * The way to one store. With a new password, it goes over another connection: the store knows the
 * allowances, so that what they paid for is not reported, and charged, again.
 */
class StoreLine implements AllowanceStore {
  redis: RedisAllowances;

  constructor(redis: RedisAllowances) {
    this.redis = redis;
  }

  exchange(request: AllowanceRequest, done: (answer: AllowanceAnswer | undefined) => void): void {
    this.redis.exchange(request, done);
  }
}

/** Whether two configurations lead to the same counts; only credentials and TLS may differ. */
function isSameStore(config: SharedStoreConfig, before: SharedStoreConfig | undefined): boolean {
  const placeOf = ({ mode, addresses, sentinelMaster, database, keyPrefix }: SharedStoreConfig) =>
    JSON.stringify([mode, addresses, sentinelMaster, database, keyPrefix]);
  return before !== undefined && placeOf(config) === placeOf(before);
}

function steadyMs(): number {
  return performance.now();
}

function statusOf({ fault }: StoreHealthState): SharedStoreStatus {
  return fault === undefined ? { state: 'available', reason: '' } : { state: 'lost', reason: fault.message };
}
