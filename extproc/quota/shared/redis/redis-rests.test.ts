/** Rests on real Redis servers, and the store for tests, which must do the same. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { skipWithoutRedis } from '../../../../fixtures/redis-server.ts';
import { MAX_SHARED_RESTS, type SharedRest } from '../rest-store.ts';
import { MemoryRests } from '../testing/memory-rests.ts';
import { admin, at, open, redis } from './testing.ts';

type Exchange = (began: readonly SharedRest[]) => Promise<readonly SharedRest[] | undefined>;

async function redisExchange(): Promise<Exchange> {
  const opened = open(at((await redis()).port));
  await opened.store.connect(5_000);
  return (began) => opened.store.exchangeRests(began);
}

async function memoryExchange(): Promise<Exchange> {
  const store = new MemoryRests(() => performance.now());
  return (began) => new Promise((resolve) => store.exchangeRests(began, resolve));
}

const stores = [
  { kind: 'Redis', newExchange: redisExchange, skip: skipWithoutRedis },
  { kind: 'the memory of a test', newExchange: memoryExchange, skip: false },
] as const;

const names = (rests: readonly SharedRest[] | undefined) => rests?.map(({ name }) => name).toSorted();

for (const { kind, newExchange, skip } of stores) {
  test(`rests in ${kind} are known to all until they end`, { skip }, async () => {
    const exchange = await newExchange();
    assert.deepEqual(await exchange([]), []);
    await exchange([
      { name: 'short', forMs: 60 },
      { name: 'long', forMs: 60_000.5 },
    ]);
    const [first, second] = (await exchange([])) ?? [];
    assert.deepEqual([first?.name, second?.name], ['short', 'long']);
    assert.ok(second!.forMs > 50_000 && second!.forMs <= 60_001, `${second!.forMs}`);
    await delay(100);
    assert.deepEqual(names(await exchange([])), ['long']);
  });

  test(`a rest in ${kind} becomes longer, not shorter`, { skip }, async () => {
    const exchange = await newExchange();
    await exchange([{ name: 'one', forMs: 60_000 }]);
    await exchange([{ name: 'one', forMs: 1 }]);
    await delay(10);
    assert.ok((await exchange([]))![0]!.forMs > 50_000);
    const [longer] = (await exchange([{ name: 'one', forMs: 120_000 }])) ?? [];
    assert.ok(longer!.forMs > 110_000);
  });

  test(`the number of rests in ${kind} is bounded`, { skip }, async () => {
    const exchange = await newExchange();
    const many = (from: number) =>
      Array.from({ length: 600 }, (_, index) => ({ name: `${from + index}`, forMs: 60_000 + from + index }));
    await exchange(many(0));
    const all = await exchange(many(600));
    assert.equal(all?.length, MAX_SHARED_RESTS);
    assert.ok(!names(all)!.includes('1199'));
  });
}

test('the set in Redis expires with its last rest', { skip: skipWithoutRedis }, async () => {
  const server = await redis();
  const opened = open(at(server.port));
  await opened.store.connect(5_000);
  await opened.store.exchangeRests([
    { name: 'one', forMs: 90_000 },
    { name: 'two', forMs: 30_000 },
  ]);
  await opened.store.exchangeRests([{ name: 'three', forMs: 10 }]);
  const leftMs = await (await admin(server.port)).pttl('test:rests');
  assert.ok(leftMs > 80_000 && leftMs <= 90_000, `${leftMs}`);
});

test('a store that forgot the script gets it again, and one that is gone answers nothing', {
  skip: skipWithoutRedis,
}, async () => {
  const server = await redis();
  const opened = open(at(server.port));
  await opened.store.connect(5_000);
  await (await admin(server.port)).script('FLUSH');
  assert.equal((await opened.store.exchangeRests([{ name: 'one', forMs: 1_000 }]))?.length, 1);
  await server.stop();
  assert.equal(await opened.store.exchangeRests([]), undefined);
});

test('rests need no permission that allowances do not need', { skip: skipWithoutRedis }, async () => {
  const server = await redis();
  const client = await admin(server.port);
  const commands = '+@connection +info +eval +evalsha +hmget +hget +hset +hdel +del'.split(' ');
  const sets = '+zadd +zrem +zrangebyscore +pexpireat +time'.split(' ');
  await client.acl('SETUSER', 'gateway', 'on', '>secret', 'resetkeys', '~test:*', '-@all', ...commands, ...sets);
  const opened = open({ ...at(server.port), username: 'gateway', password: 'secret' });
  await opened.store.connect(5_000);
  assert.equal((await opened.store.exchangeRests([{ name: 'one', forMs: 1_000 }]))?.length, 1);
});
