/** The switch of a process between stores, on real Redis servers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SharedStoreConfig } from '../../../../contract/shared-store.ts';
import { skipWithoutRedis } from '../../../../fixtures/redis-server.ts';
import { MemoryStore } from '../../memory.ts';
import { memoryDefaults } from '../../memory-options.ts';
import type { Decision, Demand } from '../../store.ts';
import { bucket, demand, lifetime, quota } from '../../testing.ts';
import { StoreSwitch } from './store-switch.ts';
import { admin, at, closing, redis } from './testing.ts';

const requests = quota('Requests', 100, { window: lifetime });

function newReplica() {
  const options = { ...memoryDefaults, nowMs: Date.now };
  const local = new MemoryStore(options, undefined);
  const store = new StoreSwitch(
    { nowMs: Date.now, onError: assert.ifError, onStatus() {}, onConnected() {}, onExchange() {} },
    local,
  );
  store.quotas.define([requests], { epoch: 1, counter: 1 }, Date.now());
  closing.push(() => store.close());
  const reserve = (asked: Demand) => new Promise<Decision>((resolve) => void store.quotas.reserve(asked, resolve));
  return {
    async use(config: SharedStoreConfig): Promise<void> {
      store.use(config);
      await store.known();
    },
    async spend(count: number): Promise<void> {
      for (let nth = 0; nth < count; nth++) {
        const decision = await reserve(demand([bucket(requests)], Date.now(), 1));
        assert.ok(decision.type === 'granted', JSON.stringify(decision));
        store.quotas.settle(decision.hold, { amounts: [1], cause: 'in_flight' }, Date.now(), () => {});
      }
    },
  };
}

test('a new password charges nothing again', { skip: skipWithoutRedis }, async () => {
  const server = await redis();
  const client = await admin(server.port);
  await client.acl('SETUSER', 'gateway', 'on', '>one', '>two', 'allkeys', '+@all');
  const config = (password: string): SharedStoreConfig => {
    const login = { username: 'gateway', password };
    return { type: 'Redis', mode: 'Standalone', keyPrefix: 'test', ...at(server.port), ...login };
  };
  const [one, other] = [newReplica(), newReplica()];
  await Promise.all([one.use(config('one')), other.use(config('one'))]);
  await one.spend(30);
  await other.spend(20);
  await Promise.all([one.use(config('two')), other.use(config('two'))]);
  await one.spend(10);
  await other.spend(40);
});
