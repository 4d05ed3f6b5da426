import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MemoryStore } from './memory.ts';
import type { BucketRef, Hold, Holder } from './store.ts';
import {
  bucket,
  counts,
  demand,
  hour,
  lease,
  lifetime,
  quota,
  type SimulatedTime,
  settle,
  simulate,
} from './testing.ts';

const firstHoldTokens = 128;
const moreTokens = 64;
const chunkMs = 20;

/**
 * A provider that paces its chunks, and a session that extends its lease just before its end. When
 * a stream ends, the next one starts.
 */
class Stream implements Holder {
  delivered = 0;
  #granted = 0;
  #hold: Hold | undefined;
  readonly #world: World;
  readonly #length: number;

  constructor(world: World, length: number) {
    this.#world = world;
    this.#length = length;
  }

  begin(): void {
    const { store, time, buckets } = this.#world;
    const { usualTokens, inputTokens } = this.#world;
    const output = { ...lease(firstHoldTokens), usual: usualTokens };
    store.reserve(demand(buckets, time.nowMs, inputTokens, output), (decision) => {
      if (decision.type !== 'granted') {
        this.#world.refused++;
        return;
      }
      this.#hold = decision.hold;
      this.#granted = decision.outputTokens;
      this.#hold.holder = this;
      this.#world.open++;
      this.#next();
    });
  }

  #next(): void {
    this.#world.time.schedule(chunkMs, () => this.#chunk());
  }

  /** Receives a chunk of up to 4 tokens; sends only what the lease covers. */
  #chunk(): void {
    const tokens = Math.min(4, this.#length - this.delivered);
    if (this.delivered + tokens <= this.#granted) {
      this.delivered += tokens;
      if (this.delivered === this.#length) {
        this.#end();
        return;
      }
      this.#next();
    } else {
      const { store, time } = this.#world;
      const needed = this.delivered + tokens - this.#granted;
      store.extend(this.#hold!, lease(moreTokens, needed), time.nowMs, (more) => {
        this.#granted += more;
        if (more < needed) {
          this.delivered = this.#granted;
          this.#world.cut++;
          this.#end();
        } else {
          this.#chunk();
        }
      });
    }
  }

  unused(kept: number): number {
    return Math.max(0, this.#granted - Math.max(kept, this.delivered));
  }

  giveBack(tokens: number): void {
    this.#granted -= tokens;
  }

  countedInput(): undefined {}

  #end(): void {
    this.#world.end(this.#hold!, this.delivered);
  }
}

class World {
  readonly store: MemoryStore;
  readonly time: SimulatedTime;
  readonly buckets: readonly BucketRef[];
  readonly inputTokens: number;
  charged = 0;
  open = 0;
  refused = 0;
  begun = 0;
  cut = 0;
  usualTokens = 100;
  /** Starts new streams when one ends. */
  goesOn = true;
  lengthOfAll: number | undefined;
  #seed = 1;

  constructor(buckets: readonly BucketRef[], inputTokens: number) {
    const { store, time } = simulate();
    this.store = store;
    this.time = time;
    this.buckets = buckets;
    this.inputTokens = inputTokens;
  }

  end(hold: Hold, outputTokens: number): void {
    const charge = { inputTokens: this.inputTokens, outputTokens, cause: 'in_flight' } as const;
    assert.deepEqual(settle(this.store, hold, charge, this.time.nowMs), []);
    this.charged += this.inputTokens + outputTokens;
    this.open--;
    if (this.goesOn) {
      this.begin();
    }
  }

  begin(): void {
    this.begun++;
    this.#seed = (this.#seed * 1_103_515_245 + 12_345) % 2 ** 31;
    new Stream(this, this.lengthOfAll ?? 1 + (this.#seed % 700)).begin();
  }
}

for (const [limit, inputTokens, queueTimeoutMs] of [
  [20_000, 0, 5_000],
  [20_000, 0, 0],
  [3_000, 0, 5_000],
  [20_000, 30, 5_000],
  [50_000, 500, 2_000],
] as const) {
  const setting = `limit ${limit}, input ${inputTokens}, queue ${queueTimeoutMs} ms`;
  test(`64 concurrent streams never pass one budget, and use at least 98 % of it (${setting})`, (t) => {
    const shared = [
      bucket(quota('TotalTokens', limit, { window: lifetime, queueTimeoutMs })),
      bucket(quota('OutputTokens', limit * 10, { window: hour })),
    ];
    const world = new World(shared, inputTokens);
    for (let stream = 0; stream < 64; stream++) {
      world.begin();
    }
    const startMs = world.time.nowMs;
    while (world.open > 0 || counts(world.store).waiting > 0) {
      world.time.pass(chunkMs);
      assert(world.time.nowMs - startMs < 600_000, 'the streams do not end');
    }
    const used = world.charged / limit;
    t.diagnostic(`${(used * 100).toFixed(2)} % used by ${world.begun} requests in ${world.time.nowMs - startMs} ms`);
    assert(world.charged <= limit, `${world.charged} of ${limit}`);
    assert(used >= 0.98, `${world.charged} of ${limit}`);
    assert(world.refused >= 1);
  });
}

for (const clients of [4, 8, 16, 32, 64]) {
  test(`${clients} long streams use up a small budget; few of them run, and none waits`, () => {
    const limit = 2_000;
    const world = new World([bucket(quota('TotalTokens', limit, { window: lifetime }))], 10);
    world.goesOn = false;
    world.lengthOfAll = 5_000;
    for (let client = 0; client < clients; client++) {
      world.begin();
    }
    assert.equal(world.open, Math.min(clients, Math.floor(limit / (10 + world.usualTokens))));
    world.time.pass(60_000);
    assert.deepEqual([world.open, world.cut, world.refused], [0, world.begun - world.refused, clients - world.cut]);
    assert(world.charged >= limit - 12 && world.charged <= limit, `${world.charged} of ${limit}`);
  });
}

test('no stream is cut where the budget is enough for all', () => {
  const world = new World([bucket(quota('TotalTokens', 2_000, { window: lifetime }))], 10);
  world.goesOn = false;
  for (const length of [890, 500, 300, 200, 60]) {
    world.lengthOfAll = length;
    world.begin();
  }
  world.time.pass(60_000);
  assert.deepEqual([world.open, world.cut, world.refused, world.charged], [0, 0, 0, 2_000]);
});
