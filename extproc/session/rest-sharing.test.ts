import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MemoryRests } from '../quota/shared/testing/memory-rests.ts';
import { SimulatedTime } from '../quota/testing.ts';
import { PassiveHealth } from './passive-health.ts';
import { RestSharing } from './rest-sharing.ts';

const target = { id: 'app/chat/main/azure/secret', backend: 'app/azure' };

class TestReplica {
  readonly health = new PassiveHealth();
  readonly sharing: RestSharing;
  readonly #time: SimulatedTime;

  constructor(time: SimulatedTime, store: MemoryRests) {
    this.#time = time;
    this.health.keepOnly(new Map([[target.id, target.backend]]));
    this.sharing = new RestSharing({ store, health: this.health, nowMs: () => time.nowMs, schedule: time.schedule });
    this.sharing.use(true);
  }

  rest(ms: number): void {
    this.health.rest({ target, ms, cause: '5xx' }, this.#time.nowMs);
  }

  /** Returns for how long the target is left out. */
  get restsForMs(): number {
    return (this.health.restsUntil(target, 'm', this.#time.nowMs) ?? this.#time.nowMs) - this.#time.nowMs;
  }
}

function newReplicas() {
  const time = new SimulatedTime();
  const store = new MemoryRests(() => time.nowMs);
  return { time, store, one: new TestReplica(time, store), two: new TestReplica(time, store) };
}

describe('replicas with a shared store', () => {
  it('learn within two intervals what rests elsewhere, and until when', () => {
    const { time, one, two } = newReplicas();
    one.rest(30_000);
    assert.equal(two.restsForMs, 0);
    time.pass(2_000);
    assert.equal(two.restsForMs, 28_000);
    assert.equal(one.restsForMs, 28_000);
    time.pass(28_000);
    assert.deepEqual([one.restsForMs, two.restsForMs], [0, 0]);
  });

  it('gather what begins at the same time into one exchange', () => {
    const { time, store, one } = newReplicas();
    for (let ms = 1; ms <= 100; ms++) {
      one.rest(10_000 + ms);
    }
    time.pass(100);
    assert.equal(store.exchanges, 1);
  });

  it('do not learn their own rest again, once a request in flight has succeeded', () => {
    const { time, one, two } = newReplicas();
    for (let failures = 0; failures < 3; failures++) {
      one.health.saw(target.id, false, time.nowMs);
    }
    one.health.saw(target.id, true, time.nowMs);
    time.pass(3_000);
    assert.deepEqual([one.restsForMs, two.restsForMs], [0, 7_000]);
  });

  it('are each on their own while the store is away, and tell later what still rests', () => {
    const { time, store, one, two } = newReplicas();
    store.answers = 'failed';
    one.rest(30_000);
    time.pass(10_000);
    assert.deepEqual([one.restsForMs, two.restsForMs], [20_000, 0]);
    store.answers = 'yes';
    time.pass(2_000);
    assert.equal(two.restsForMs, 18_000);
  });

  it('ask again where an exchange is never answered, and not before', () => {
    const { time, store, one, two } = newReplicas();
    store.answers = 'never';
    one.rest(30_000);
    time.pass(4_900);
    assert.equal(store.exchanges, 2);
    store.answers = 'yes';
    time.pass(3_000);
    assert.equal(two.restsForMs, 22_100);
  });

  it('end their timers when they stop to share', () => {
    const { time, store, one, two } = newReplicas();
    one.sharing.use(false);
    one.rest(30_000);
    two.sharing.close();
    assert.equal(time.pending, 0);
    time.pass(5_000);
    assert.equal(store.exchanges, 0);
  });
});
