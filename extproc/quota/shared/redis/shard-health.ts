/**
 * Whether the store and each of its shards answer. A shard that is away counts as a loss while the
 * others answer; what they answer says nothing about it.
 */
import type { StoreFault } from './redis-fault.ts';
import { StoreHealth, type StoreHealthOptions, type StoreHealthState, unanswered } from './store-health.ts';

export class ShardHealth {
  readonly #options: StoreHealthOptions;
  readonly #store: StoreHealth;
  /** Shards that have failed since they answered last. */
  readonly #failing = new Map<string, StoreHealth>();
  #shards = 1;
  #state: StoreHealthState = unanswered;

  constructor(options: StoreHealthOptions) {
    this.#options = options;
    this.#store = new StoreHealth({ ...options, changed: () => this.#update() });
  }

  get state(): StoreHealthState {
    return this.#state;
  }

  /** Whether any shard has failed since it answered last. */
  get isAnyFailing(): boolean {
    return this.#failing.size > 0;
  }

  /** Undefined: the store has one shard, or the shard does not matter. */
  succeeded(shard: string | undefined): void {
    if (shard !== undefined) {
      this.#forget(shard);
    }
    this.#store.succeeded();
    this.#update();
  }

  /** `shard` undefined: the store as a whole. `fault` undefined: as `StoreHealth.failed`. */
  failed(fault: StoreFault | undefined, shard: string | undefined): void {
    if (shard === undefined || this.#store.state.fault !== undefined) {
      this.#store.failed(fault);
      return;
    }
    let health = this.#failing.get(shard);
    if (health === undefined) {
      health = new StoreHealth({ ...this.#options, changed: () => this.#update() }, {});
      this.#failing.set(shard, health);
    }
    health.failed(fault);
  }

  lost(fault: StoreFault): void {
    this.#store.lost(fault);
  }

  /** Forgets shards that serve nothing any more, such as a primary that was replaced. */
  keepOnly(shards: ReadonlySet<string>): void {
    this.#shards = shards.size;
    for (const shard of this.#failing.keys()) {
      if (!shards.has(shard)) {
        this.#forget(shard);
      }
    }
    this.#update();
  }

  close(): void {
    this.#store.close();
    for (const shard of this.#failing.keys()) {
      this.#forget(shard);
    }
  }

  #forget(shard: string): void {
    this.#failing.get(shard)?.close();
    this.#failing.delete(shard);
  }

  #update(): void {
    const state = this.#store.state.fault === undefined ? this.#worstShard() : this.#store.state;
    if (state.fault?.message !== this.#state.fault?.message) {
      this.#state = state;
      this.#options.changed(state);
    }
  }

  #worstShard(): StoreHealthState {
    const lost = [...this.#failing].flatMap(([shard, { state }]) =>
      state.fault ? [{ shard, fault: state.fault }] : [],
    );
    const [first] = lost;
    if (first === undefined) {
      return {};
    }
    const { kind, message } = first.fault;
    const shards = lost.map(({ shard }) => shard).sort();
    const isWhole = lost.length >= this.#shards;
    return { fault: isWhole ? first.fault : { kind, message: `shard ${shards.join(', ')}: ${message}` } };
  }
}
