/** The store behind Sentinels, in a cluster, and with TLS. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { freePort } from '../../../../fixtures/free-ports.ts';
import { type RedisServer, skipWithoutRedis } from '../../../../fixtures/redis-server.ts';
import { sumsOf } from '../../usage-report.ts';
import type { AllowanceAnswer } from '../allowances.ts';
import { SharedUsage } from './shared-usage.ts';
import { admin, ask, askUntilAnswered, at, closing, open, redis, request } from './testing.ts';

const options = { skip: skipWithoutRedis };

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) {
    await delay(20);
  }
}

test('Sentinels lead to the new primary after a failover', options, async () => {
  const primary = await redis();
  const replica = await redis({ arguments: ['--replicaof', '127.0.0.1', `${primary.port}`] });
  await until(async () => (await (await admin(primary.port)).info('replication')).includes('state=online'));
  const config = [
    `sentinel monitor main 127.0.0.1 ${primary.port} 1`,
    // On a busy machine, a Sentinel takes a replica that is late for down, gives its failover up
    // and tries again only after twice its timeout. So the test asks for failovers itself.
    'sentinel down-after-milliseconds main 60000',
    'sentinel failover-timeout main 20000',
  ].join('\n');
  const sentinel = await redis({ config, arguments: ['--sentinel'] });
  const watcher = await admin(sentinel.port);
  // A Sentinel learns of replicas by and by.
  await until(async () => String(await watcher.call('SENTINEL', 'replicas', 'main')).includes(`${replica.port}`));
  const opened = open({ ...at(sentinel.port), mode: 'Sentinel', sentinelMaster: 'main' });
  assert.deepEqual(await opened.store.connect(5_000), {});
  const asked = request();
  assert.equal((await ask(opened, asked))?.units, 100);
  const writer = await admin(primary.port);
  await writer.set('written after the allowance', '');
  assert.equal(await writer.wait(1, 10_000), 1);
  await primary.stop();
  const successor = await admin(replica.port);
  await until(async () => {
    await watcher.call('SENTINEL', 'FAILOVER', 'main').catch(() => {});
    return (await successor.info('replication')).includes('role:master');
  });
  // Only the new primary can answer. A store that is back within 500 ms never counts as lost, and
  // the client may be connected before Sentinel announces the failover and then connect once more.
  let after: AllowanceAnswer | undefined;
  await until(async () => {
    after = await ask(opened, { ...asked, number: 2, spent: 40, want: 60 });
    return after !== undefined;
  });
  await opened.until(undefined);
  assert.deepEqual([after?.state, after?.spent], ['open', 40], 'the replica had the allowance');
});

const SLOTS = 16_384;

async function newCluster(
  ...more: string[]
): Promise<{ readonly nodes: readonly RedisServer[]; readonly clients: readonly Redis[] }> {
  const cluster = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '1000', ...more];
  const nodes = await Promise.all(
    [0, 1, 2].map(async () => redis({ arguments: [...cluster, '--cluster-port', `${await freePort()}`] })),
  );
  const clients = await Promise.all(nodes.map(({ port }) => admin(port)));
  for (const [index, client] of clients.entries()) {
    const [first, end] = [index, index + 1].map((part) => Math.floor((part * SLOTS) / nodes.length));
    await client.call('CLUSTER', 'ADDSLOTSRANGE', `${first}`, `${end! - 1}`);
    const [, bus] = /cluster-port\D*(\d+)/.exec(String(await clients[0]!.config('GET', 'cluster-port'))) ?? [];
    await client.call('CLUSTER', 'MEET', '127.0.0.1', `${nodes[0]!.port}`, bus!);
  }
  for (const client of clients) {
    await until(async () => /cluster_state:ok[\s\S]*cluster_known_nodes:3/.test(String(await client.cluster('INFO'))));
  }
  return { nodes, clients };
}

test('windows are spread over the nodes of a cluster, and a slot that moves is followed', options, async () => {
  const { nodes, clients } = await newCluster();
  const opened = open({ ...at(nodes[0]!.port), mode: 'Cluster' });
  assert.deepEqual(await opened.store.connect(5_000), {});
  const requests = Array.from({ length: 30 }, () => request());
  const answers = await Promise.all(requests.map((asked) => ask(opened, asked)));
  assert.ok(answers.every((answer) => answer?.units === 100));
  const sizes = await Promise.all(clients.map((client) => client.dbsize()));
  assert.ok(
    sizes.every((size) => size > 0),
    `${sizes} keys`,
  );
  await moveAll(nodes, clients);
  for (const asked of requests) {
    const next = { ...asked, number: 2, spent: 10 };
    assert.equal((await ask(opened, next))?.spent, 10);
  }
});

test('a shard of a cluster that is away is named while the others answer', options, async () => {
  const { nodes } = await newCluster('--cluster-require-full-coverage', 'no');
  const away = nodes[2]!;
  const opened = open({ ...at(nodes[0]!.port), mode: 'Cluster' });
  assert.deepEqual(await opened.store.connect(5_000), {});
  const requests = Array.from({ length: 30 }, () => request());
  await Promise.all(requests.map((asked) => ask(opened, asked)));
  away.process.kill('SIGSTOP');
  closing.push(() => away.process.kill('SIGCONT'));
  let answers = 0;
  for (const asked of requests) {
    opened.store.exchange({ ...asked, number: 2, spent: 10 }, (answer) => {
      answers += answer === undefined ? 0 : 1;
    });
  }
  const { fault } = await opened.until('any');
  assert.ok(answers > 5, `${answers} answers`);
  const named = new RegExp(`^shard 127\\.0\\.0\\.1:${away.port}: the (store|connection to the store) `);
  assert.match(fault!.message, named);
  await askUntilAnswered(opened);
  assert.match(opened.store.state.fault!.message, named, 'answers of other shards change nothing');
  away.process.kill('SIGCONT');
  await opened.until(undefined);
  for (const asked of requests) {
    assert.notEqual(await ask(opened, { ...asked, number: 3, spent: 20 }), undefined);
  }
});

test('the usage of many hours is spread over the nodes of a cluster', options, async () => {
  const { nodes, clients } = await newCluster();
  const retention = { usageDays: 31, usageRequestDays: 7 };
  const store = new SharedUsage(
    { type: 'Redis', mode: 'Cluster', keyPrefix: 'test', ...at(nodes[0]!.port) },
    retention,
  );
  closing.push(() => store.close());
  await store.connect();
  const hour = Math.floor(Date.now() / 3_600_000);
  for (let back = 0; back < 12; back++) {
    const rows = [{ id: 1, time_ms: (hour - back) * 3_600_000, input: 5, output: 2, request_id: 'r' }];
    const taken = await store.take({ source: 'one', hour: hour - back, afterId: 0, confirmedId: 0, rows });
    assert.equal(taken.isTaken, true);
  }
  const sizes = await Promise.all(clients.map((client) => client.dbsize()));
  assert.ok(
    sizes.every((size) => size > 0),
    `${sizes} keys`,
  );
  const span = { sinceMs: 0, untilMs: Number.MAX_SAFE_INTEGER };
  const [sums] = await sumsOf(store.hourPages(span), []);
  assert.deepEqual([sums?.requests, sums?.inputTokens, (await store.find('r')).length], [12, 60, 12]);
  await store.prune();
});

/** Moves each slot with keys of the first node to the second. */
async function moveAll(nodes: readonly RedisServer[], [from, to]: readonly Redis[]): Promise<void> {
  const [fromId, toId] = [String(await from!.cluster('MYID')), String(await to!.cluster('MYID'))];
  const keys = await from!.keys('*');
  const slots = new Set(await Promise.all(keys.map((key) => from!.cluster('KEYSLOT', key))));
  for (const slot of slots) {
    await to!.cluster('SETSLOT', Number(slot), 'IMPORTING', fromId);
    await from!.cluster('SETSLOT', Number(slot), 'MIGRATING', toId);
    const inSlot = await from!.cluster('GETKEYSINSLOT', Number(slot), 1_000);
    await from!.call('MIGRATE', '127.0.0.1', `${nodes[1]!.port}`, '', '0', '5000', 'KEYS', ...inSlot.map(String));
    await to!.cluster('SETSLOT', Number(slot), 'NODE', toId);
    await from!.cluster('SETSLOT', Number(slot), 'NODE', toId);
  }
}

test('TLS needs a known CA and the right name', options, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tallygate-tls-'));
  closing.push(() => rmSync(folder, { recursive: true }));
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
  const subject = ['-subj', '/CN=store.example', '-addext', 'subjectAltName=DNS:store.example', '-days', '2'];
  const elliptic = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  execFileSync('openssl', ['req', '-x509', ...elliptic, '-keyout', key, '-out', certificate, ...subject], {
    stdio: 'ignore',
  });
  const port = await freePort();
  const files = ['--tls-cert-file', certificate, '--tls-key-file', key, '--tls-auth-clients', 'no'];
  await redis({ arguments: ['--tls-port', `${port}`, ...files] });
  const caPem = readFileSync(certificate, 'utf8');
  const good = open({ ...at(port), tls: { caPem, serverName: 'store.example' } });
  assert.deepEqual(await good.store.connect(5_000), {});
  await askUntilAnswered(good);
  const unknown = open({ ...at(port), tls: { serverName: 'store.example' } });
  assert.match((await unknown.store.connect(5_000)).fault!.message, /not from a known CA: give its CA certificates/);
  const wrong = open({ ...at(port), tls: { caPem, serverName: 'other.example' } });
  assert.match((await wrong.store.connect(5_000)).fault!.message, /has another name: set the server name/);
});
