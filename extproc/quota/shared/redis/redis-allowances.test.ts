/** The store on real Redis servers that are slow, gone, full, read-only or refuse. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { freePort } from '../../../../fixtures/free-ports.ts';
import { skipWithoutRedis, startRedis } from '../../../../fixtures/redis-server.ts';
import { startSlowProxy } from '../../../../fixtures/slow-proxy.ts';
import { admin, ask, askUntilAnswered, at, closing, open, redis, request } from './testing.ts';

const options = { skip: skipWithoutRedis };

test('a store that answers is available', options, async () => {
  const opened = open(at((await redis()).port));
  assert.deepEqual(await opened.store.connect(5_000), {});
  assert.deepEqual(opened.states, [{}]);
  assert.equal(opened.checks[0]?.product, 'Redis');
  assert.equal((await ask(opened))?.units, 100);
});

test('exchanges of one turn leave in one write and get their own answers', options, async () => {
  const opened = open(at((await redis()).port));
  await opened.store.connect(5_000);
  const answers = await Promise.all([10, 20, 30].map((want) => ask(opened, request({ want }))));
  assert.deepEqual(
    answers.map((answer) => answer?.units),
    [10, 20, 30],
  );
});

test('a server that has forgotten the script gets it again', options, async () => {
  const server = await redis();
  const opened = open(at(server.port));
  await opened.store.connect(5_000);
  await ask(opened);
  await (await admin(server.port)).script('FLUSH');
  const answers = await Promise.all([ask(opened), ask(opened)]);
  assert.deepEqual(
    answers.map((answer) => answer?.units),
    [100, 100],
  );
});

test('a request that is repeated while its answer is due is sent once', options, async () => {
  const server = await redis();
  const proxy = await startSlowProxy(server.port);
  closing.push(() => proxy.close());
  const opened = open(at(proxy.port));
  await opened.store.connect(5_000);
  await ask(opened);
  const client = await admin(server.port);
  await client.config('RESETSTAT');
  proxy.delayMs = 100;
  const asked = request();
  const first = ask(opened, asked);
  opened.store.exchange(asked, () => assert.fail('answered twice'));
  assert.equal((await first)?.units, 100);
  assert.match(await client.info('commandstats'), /cmdstat_evalsha:calls=1,/);
});

test('a store that is gone is lost after a while, and available once it is back', options, async () => {
  const port = await freePort();
  const first = await startRedis({ port });
  const opened = open(at(port));
  await opened.store.connect(5_000);
  await first.stop();
  assert.equal((await opened.until('unreachable')).fault?.kind, 'unreachable');
  assert.equal(await ask(opened), undefined);
  await redis({ port });
  await opened.until(undefined);
  assert.equal((await ask(opened))?.units, 100);
  assert.equal(opened.states.filter(({ fault }) => fault === undefined).length, 2);
});

test('a connection that is replaced at once is no loss', options, async () => {
  const server = await redis();
  const opened = open(at(server.port));
  await opened.store.connect(5_000);
  await (await admin(server.port)).call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await askUntilAnswered(opened);
  assert.deepEqual(opened.states, [{}]);
});

test('a store that answers nothing is too slow', options, async () => {
  const proxy = await startSlowProxy((await redis()).port);
  closing.push(() => proxy.close());
  const opened = open(at(proxy.port));
  await opened.store.connect(5_000);
  proxy.delayMs = Number.POSITIVE_INFINITY;
  ask(opened);
  await opened.until('slow');
  proxy.delayMs = 0;
  await opened.until(undefined);
});

test('a full store refuses exchanges as a whole, and is available once it has room', options, async () => {
  const server = await redis();
  const client = await admin(server.port);
  const opened = open(at(server.port));
  await opened.store.connect(5_000);
  const asked = request();
  await ask(opened, asked);
  const record = (await client.keys('test:{*}:*')).sort()[0]!;
  const before = await client.hgetall(record);
  await client.config('SET', 'maxmemory', '1');
  assert.equal(await ask(opened, { ...asked, number: 2, spent: 50 }), undefined);
  assert.match((await opened.until('memory')).fault!.message, /maxmemory: raise it/);
  assert.deepEqual(await client.hgetall(record), before);
  await client.config('SET', 'maxmemory', '0');
  await opened.until(undefined);
});

test('a store that may evict windows is used with a warning', options, async () => {
  const server = await redis({ arguments: ['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru'] });
  const opened = open(at(server.port));
  await opened.store.connect(5_000);
  assert.match(opened.checks[0]!.warnings[0]!, /maxmemory-policy is allkeys-lru.*set it to noeviction/);
});

test('a read-only replica is refused', options, async () => {
  const primary = await redis();
  const replica = await redis({ arguments: ['--replicaof', '127.0.0.1', `${primary.port}`] });
  const opened = open(at(replica.port));
  const { fault } = await opened.store.connect(5_000);
  assert.equal(fault?.kind, 'read-only');
  await (await admin(replica.port)).replicaof('NO', 'ONE');
  await opened.until(undefined);
});

test('a wrong password is named, and so is one that is missing', options, async () => {
  const server = await redis({ arguments: ['--requirepass', 'right'] });
  const wrong = open({ ...at(server.port), password: 'hunter2' });
  const missing = open(at(server.port));
  const [{ fault }, { fault: other }] = [await wrong.store.connect(5_000), await missing.store.connect(5_000)];
  assert.deepEqual([fault?.kind, other?.kind], ['login', 'login']);
  assert.ok(!JSON.stringify(wrong.states).includes('hunter2'));
  const right = open({ ...at(server.port), password: 'right' });
  assert.deepEqual(await right.store.connect(5_000), {});
});

test('a user needs only the permissions that the guide lists, and a missing one is named', options, async () => {
  const server = await redis();
  const client = await admin(server.port);
  await client.acl('SETUSER', 'gateway', 'on', '>secret', ...aclRules);
  const login = { ...at(server.port), username: 'gateway', password: 'secret' };
  const opened = open(login);
  assert.deepEqual(await opened.store.connect(5_000), {});
  assert.equal((await ask(opened))?.units, 100);
  assert.equal(opened.checks.length, 1);
  await client.acl('SETUSER', 'gateway', '-zadd');
  assert.equal(await ask(opened), undefined);
  await opened.until('permission');
});

const aclRules = [
  'resetkeys',
  '~test:*',
  '-@all',
  ...'+@connection +info +eval +evalsha +hmget +hget +hset +hdel +del'.split(' '),
  ...'+zadd +zrem +zrangebyscore +pexpireat +time'.split(' '),
];

test('a store that is emptied does not know the allowances that it gave', options, async () => {
  const server = await redis();
  const opened = open(at(server.port));
  await opened.store.connect(5_000);
  const asked = request();
  await ask(opened, asked);
  await (await admin(server.port)).flushall();
  assert.equal((await ask(opened, { ...asked, number: 2, spent: 50 }))?.state, 'unknown');
});

test('a version that is too old is refused with the oldest that works', async () => {
  const old = await fakeRedis('redis_version:6.0.16\r\nrole:master\r\n');
  const opened = open(at(old));
  const { fault } = await opened.store.connect(5_000);
  assert.deepEqual(fault, { kind: 'version', message: 'Redis 6.0.16 is too old: install 6.2 or newer' });
  assert.equal(await ask(opened), undefined);
  const valkey = open(at(await fakeRedis('redis_version:7.2.4\r\nvalkey_version:7.0.1\r\n')));
  assert.match((await valkey.store.connect(5_000)).fault!.message, /Valkey 7\.0\.1 is too old: install 7\.2/);
});

/** Answers INFO with a text, and everything else with OK. */
async function fakeRedis(info: string): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (data) => {
      for (const command of data.toString().matchAll(/\*\d+\r\n\$\d+\r\n(\w+)/g)) {
        socket.write(command[1]!.toLowerCase() === 'info' ? `$${info.length}\r\n${info}\r\n` : '+OK\r\n');
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => server.close());
  return (server.address() as { readonly port: number }).port;
}
