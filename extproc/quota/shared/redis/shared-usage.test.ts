/** The usage of several gateways in one Redis: complete, and each request once. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { SharedStoreConfig } from '../../../../contract/shared-store.ts';
import { type RedisServer, skipWithoutRedis } from '../../../../fixtures/redis-server.ts';
import { newRandom } from '../../../../tools/fuzz/random.ts';
import type { ExportState } from '../../export/exporter.ts';
import { usageText } from '../../journal-record.ts';
import { openQuotaStore } from '../../open.ts';
import { bucket, charge, demand, granted, quota, reserve, settle } from '../../testing.ts';
import type { UsageCells } from '../../usage-blocks.ts';
import { UsageDatabase } from '../../usage-database.ts';
import { type UsageRecord, usageRow } from '../../usage-record.ts';
import { sumsOf, type UsageSums } from '../../usage-report.ts';
import { UsageSharing, type UsageTaker } from '../../usage-sharing.ts';
import { usageDefaults } from '../../usage-tables.ts';
import { SharedUsage, type SharedUsageBounds, sharedUsageBounds } from './shared-usage.ts';
import { admin, closing, redis } from './testing.ts';

const options = { skip: skipWithoutRedis };
const HOUR_MS = 3_600_000;
const nowMs = Date.now();
const span = { sinceMs: 0, untilMs: Number.MAX_SAFE_INTEGER };

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'shared-usage-'));
  closing.push(() => rmSync(path, { recursive: true }));
  return path;
}

function record(requestId: string, more: Partial<UsageRecord> = {}): UsageRecord {
  const none = { cacheWriteInput: 0, cacheWrite1hInput: 0, reasoningOutput: 0, audioInput: 0, audioOutput: 0 };
  const names = { user: 'ann', apiKey: undefined, model: 'gpt', route: 'default/chat', backend: 'default/openai' };
  return {
    subject: { requestId, tenant: 'acme', session: 's1', ...names },
    timeMs: nowMs,
    served: 'gpt-2026',
    status: 200,
    decision: 'admitted',
    source: 'provider',
    usage: { input: 5, output: 2, cachedInput: 3, imageInput: 0, imageOutput: 0, ...none },
    cost: { nanos: 1_000_000_007, currency: 'USD', catalog: undefined },
    overdrafts: [],
    ...more,
  };
}

const configOf = (server: RedisServer): SharedStoreConfig => ({
  type: 'Redis',
  mode: 'Standalone',
  addresses: [`127.0.0.1:${server.port}`],
  keyPrefix: 'test',
});

async function sharedUsage(server: RedisServer, bounds: Partial<SharedUsageBounds> = {}): Promise<SharedUsage> {
  const store = new SharedUsage(configOf(server), usageDefaults, { ...sharedUsageBounds, ...bounds });
  closing.push(() => store.close());
  await store.connect();
  return store;
}

/** A gateway with requests, which it sends to the store. */
class Gateway {
  readonly database = new UsageDatabase(join(folder(), 'usage'), usageDefaults);
  readonly source: string;
  readonly states: ExportState[] = [];
  #lastId = nowMs * 1_000;

  constructor(source: string) {
    this.source = source;
    closing.push(() => this.database.close());
  }

  write(...records: readonly UsageRecord[]): void {
    this.#lastId += records.length;
    const rows = records.map((one) => JSON.stringify(usageRow(one, undefined)));
    this.database.writeText(usageText(this.#lastId, rows));
  }

  share(taker: UsageTaker): UsageSharing {
    const ending = new AbortController();
    const sharing = new UsageSharing(this.database.tables, taker, {
      cursor: 'store',
      source: this.source,
      signal: ending.signal,
      onState: (state) => this.states.push(state),
      pollMs: 5,
      retryMs: 1,
    });
    const running = sharing.run();
    closing.push(async () => {
      ending.abort();
      await running;
    });
    return sharing;
  }
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = Date.now() + 20_000;
  while (!(await holds())) {
    assert.ok(Date.now() < endMs, what);
    await delay(5);
  }
}

async function sums(store: SharedUsage): Promise<UsageSums | undefined> {
  const [all, ...more] = await sumsOf(store.hourPages(span), []);
  assert.equal(more.length, 0);
  return all;
}

async function requestIds(store: SharedUsage): Promise<readonly string[]> {
  const rows: UsageCells[] = [];
  for await (const page of store.requestPages(span)) {
    rows.push(...page);
  }
  return rows.map((row) => String(row['request_id'])).sort();
}

test('the sums of two gateways are those of all their requests', options, async () => {
  const store = await sharedUsage(await redis());
  const gateways = [new Gateway('one'), new Gateway('two')];
  const ids: string[] = [];
  for (const [nth, gateway] of gateways.entries()) {
    for (let batch = 0; batch < 30; batch++) {
      const records = Array.from({ length: 40 }, (_, at) =>
        record(`${nth}/${batch}/${at}`, { timeMs: nowMs - (at % 3) * HOUR_MS }),
      );
      ids.push(...records.map(({ subject }) => subject.requestId!));
      gateway.write(...records);
    }
  }
  const sharing = gateways.map((gateway) => gateway.share(store));
  await Promise.all(sharing.map((one) => one.settle(20_000)));
  assert.deepEqual(await requestIds(store), ids.sort());
  const all = await sums(store);
  assert.deepEqual([all?.requests, all?.inputTokens, all?.cost['USD']], [2_400, 12_000, '2400.0000168']);
  const [found] = await store.find('1/29/7');
  assert.deepEqual([found?.['request_id'], found?.['cost']], ['1/29/7', 1_000_000_007]);
  assert.deepEqual(
    gateways.map(({ states }) => states.map(({ failure, dropped }) => [failure, dropped])),
    [[[undefined, 0]], [[undefined, 0]]],
  );
});

test('requests whose confirmation is lost count once, also when they arrive in other batches', options, async () => {
  const store = await sharedUsage(await redis());
  const gateway = new Gateway('one');
  const random = newRandom(7);
  let losses = 0;
  const unreliable: UsageTaker = {
    prune: async () => {},
    take: async (requests) => {
      // Another batch than the one that was lost: a restarted gateway reads more or fewer rows.
      const rows = requests.rows.slice(0, random.between(1, requests.rows.length));
      const taken = await store.take({ ...requests, confirmedId: 0, rows });
      if (random.between(1, 3) === 1) {
        losses++;
        throw new Error('lost');
      }
      return rows.length < requests.rows.length && taken.isTaken
        ? { isTaken: false, knownId: Number(rows.at(-1)!['id']) }
        : taken;
    },
  };
  for (let batch = 0; batch < 20; batch++) {
    gateway.write(...Array.from({ length: 30 }, (_, at) => record(`${batch}/${at}`)));
  }
  gateway.share(unreliable);
  await until(
    'all requests',
    async () => gateway.database.tables.exportOf('store').id === gateway.database.tables.lastId,
  );
  assert.ok(losses > 3, `${losses} lost confirmations`);
  const all = await sums(store);
  assert.deepEqual([all?.requests, (await requestIds(store)).length], [600, 600]);
});

test('what the store forgot is sent again, and nothing else', options, async () => {
  const server = await redis();
  const store = await sharedUsage(server);
  const [one, two] = [new Gateway('one'), new Gateway('two')];
  one.write(record('1'), record('2', { timeMs: nowMs - 5 * HOUR_MS }));
  two.write(record('3'));
  const sharing = [one.share(store), two.share(store)];
  await Promise.all(sharing.map((each) => each.settle(20_000)));
  const client = await admin(server.port);
  await client.flushall();
  one.write(record('4'));
  await until('the forgotten requests', async () => (await requestIds(store)).length === 3);
  assert.deepEqual(await requestIds(store), ['1', '2', '4']);
  two.write(record('5'));
  await until('those of the other gateway', async () => (await requestIds(store)).length === 5);
  assert.equal((await sums(store))?.requests, 5);
});

test(
  'a gateway sends its requests within two seconds, and those of a store that was away once it is back',
  options,
  async () => {
    let server = await redis();
    const states: ExportState[] = [];
    const opened = openQuotaStore({ path: join(folder(), 'quota.sqlite'), onExport: (state) => states.push(state) });
    opened.usage!.share(configOf(server));
    const total = quota('TotalTokens', 1_000);
    const request = (id: string) => {
      const { hold } = granted(reserve(opened.store, demand([bucket(total)], Date.now(), 7)));
      settle(opened.store, hold, charge(7, 0), Date.now());
      opened.store.recordUsage(record(id, { timeMs: Date.now() }), hold);
      opened.store.flush();
    };
    request('first');
    let store = await sharedUsage(server);
    await until('the first connection', async () => (await requestIds(store)).length === 1);
    const sentMs = Date.now();
    request('second');
    await until('the second request', async () => (await requestIds(store)).length === 2);
    assert.ok(Date.now() - sentMs < 2_000, `${Date.now() - sentMs} ms`);
    await server.stop();
    request('third');
    await until('a failure', () => states.at(-1)?.failure !== undefined);
    const query = { by: [], ...span };
    assert.deepEqual(
      (await opened.usage!.report(query, 'unshared')).map(({ requests }) => requests),
      [1],
    );
    server = await redis({ port: server.port });
    store = await sharedUsage(server);
    await until('all requests', async () => (await requestIds(store)).length === 3);
    assert.deepEqual(await requestIds(store), ['first', 'second', 'third']);
    assert.deepEqual(await opened.usage!.report(query, 'unshared'), []);
    assert.deepEqual(
      (await opened.usage!.report(query, 'shared')).map(({ requests }) => requests),
      [3],
    );
    request('last');
    opened.store.close();
    await opened.usage!.close(5_000);
    assert.equal((await sums(store))?.requests, 4, 'a gateway that stops sends what is left');
  },
);

test('the permissions of the guide suffice, and without them nothing is half taken', options, async () => {
  const server = await redis();
  const client = await admin(server.port);
  const guide = readFileSync(join(import.meta.dirname, '../../../../docs/guides/shared-store.md'), 'utf8');
  const rules = /ACL SETUSER gateway (on .*)/.exec(guide)![1]!.replace('tallygate:*', 'test:*').split(' ');
  await client.call('ACL', 'SETUSER', 'gateway', ...rules, '-hlen');
  const login = { username: 'gateway', password: 'PASSWORD' };
  const store = new SharedUsage({ ...configOf(server), ...login }, usageDefaults);
  closing.push(() => store.close());
  await store.connect();
  const gateway = new Gateway('one');
  gateway.write(record('1'));
  const sharing = gateway.share(store);
  await until('a refusal', () => /may not run the commands/.test(gateway.states.at(-1)?.failure ?? ''));
  assert.deepEqual(await client.keys('*'), []);
  await client.call('ACL', 'SETUSER', 'gateway', '+hlen');
  await until('the request', () => sharing.sentId === gateway.database.tables.lastId);
  await until('the time to prune', async () => (await client.exists('test:usage:prune')) === 1);
  assert.deepEqual(await requestIds(store), ['1']);
  assert.equal((await sums(store))?.requests, 1);
});

test('a request takes less than the stated bytes of the store', options, async (context) => {
  const server = await redis();
  const store = await sharedUsage(server);
  const client = await admin(server.port);
  const gateway = new Gateway('one');
  const random = newRandom(1);
  const many = 20_000;
  for (let at = 0; at < many; at += 100) {
    const records = Array.from({ length: 100 }, () => {
      const tokens = { ...record('').usage!, input: random.between(10, 9_000), output: random.between(1, 900) };
      const subject = { ...record('').subject, requestId: randomUUID(), tenant: `tenant-${random.between(1, 50)}` };
      return record('', { subject, usage: tokens, timeMs: nowMs - random.between(0, 60_000) });
    });
    gateway.write(...records);
  }
  const startMs = performance.now();
  await gateway.share(store).settle(20_000);
  const ms = performance.now() - startMs;
  let bytes = 0;
  for (const key of await client.keys('test:usage:*')) {
    bytes += Number(await client.memory('USAGE', key, 'SAMPLES', 0));
  }
  context.diagnostic(`${Math.round(bytes / many)} bytes and ${Math.round((1_000 * ms) / many)} µs a request`);
  assert.ok(bytes / many < 120, `${bytes / many} bytes`);
});

test('without days for requests, the store gets their sums, and nobody keeps them', options, async () => {
  const retention = { usageDays: 31, usageRequestDays: 0 };
  const server = await redis();
  const store = new SharedUsage(configOf(server), retention);
  closing.push(() => store.close());
  await store.connect();
  const database = new UsageDatabase(join(folder(), 'usage'), retention);
  closing.push(() => database.close());
  const { tables } = database;
  const ending = new AbortController();
  tables.sharedBy = 'store';
  const given = { cursor: 'store', source: 'one', signal: ending.signal, onState: () => {}, pollMs: 5 };
  const sharing = new UsageSharing(tables, store, given);
  const rows = ['1', '2'].map((id) => JSON.stringify(usageRow(record(id), undefined)));
  database.writeText(usageText(nowMs * 1_000, rows.slice(0, 1)));
  assert.equal(tables.requests(0, Number.MAX_SAFE_INTEGER, 10).length, 1, 'it waits for the store');
  const running = sharing.run();
  await sharing.settle(20_000);
  database.writeText(usageText(nowMs * 1_000 + 1, rows.slice(1)));
  await sharing.settle(20_000);
  database.writeText(usageText(nowMs * 1_000 + 2, rows.slice(1)));
  await sharing.settle(20_000);
  ending.abort();
  await running;
  assert.deepEqual([(await sums(store))?.requests, await requestIds(store)], [3, []]);
  assert.ok(tables.requests(0, Number.MAX_SAFE_INTEGER, 10).length <= 1);
});

test('the combinations of an hour and the size of usage are bounded', options, async () => {
  const server = await redis();
  const bounds = { sumsAnHour: 10, requestBytes: 3_000, pruneEveryMs: 1 };
  const store = await sharedUsage(server, bounds);
  const gateway = new Gateway('one');
  for (let hour = 20; hour > 0; hour--) {
    const records = Array.from({ length: 30 }, (_, at) => {
      const timeMs = nowMs - hour * HOUR_MS;
      return record(`${hour}/${at}`, { timeMs, subject: { ...record(`${hour}/${at}`).subject, user: `user-${at}` } });
    });
    gateway.write(...records);
  }
  const sharing = gateway.share(store);
  await sharing.settle(20_000);
  const byUser = await sumsOf(store.hourPages(span), ['user']);
  assert.equal(byUser.length, 11);
  assert.equal(
    byUser.reduce((sum, { requests }) => sum + requests, 0),
    600,
  );
  await until('a smaller size', async () => (await requestIds(store)).length < 300);
  const kept = await requestIds(store);
  assert.ok(kept.includes('1/0') && !kept.includes('20/0'), 'the newest hours are kept');
  assert.equal((await sums(store))?.requests, 600, 'sums stay');
  const client = await admin(server.port);
  for (const key of await client.keys('test:usage:{*')) {
    assert.ok((await client.pttl(key)) > 6 * 24 * HOUR_MS, key);
  }
});
