import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, test } from 'node:test';
import { JournalDatabase } from './journal-database.ts';
import { JournalBatch } from './journal-record.ts';
import { openQuotaStore, type StoreOptions } from './open.ts';
import { bucket, charge, costQuota, demand, granted, quota, reserve, settle, startMs } from './testing.ts';
import { type UsageRecord, type UsageSubject, usageRow } from './usage-record.ts';
import type { UsageCells, UsageTables } from './usage-tables.ts';

let folder: string;
let path: string;
let nowMs: number;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'usage-'));
  path = join(folder, 'quota.sqlite');
  nowMs = startMs;
});
afterEach(() => rmSync(folder, { recursive: true }));

const HOUR_MS = 3_600_000;
const total = quota('TotalTokens', 1000);

const open = (more: StoreOptions = {}) => openQuotaStore({ path, foldEveryMs: 0, nowMs: () => nowMs, ...more });

const subject: UsageSubject = {
  requestId: 'r1',
  tenant: 'acme',
  user: 'ann',
  apiKey: 'default/key',
  model: 'gpt',
  route: 'default/chat',
  backend: 'default/openai',
  session: 's1',
};

function record(more: Partial<UsageRecord> = {}): UsageRecord {
  const usage = {
    input: 5,
    output: 2,
    cachedInput: 3,
    cacheWriteInput: 0,
    cacheWrite1hInput: 0,
    reasoningOutput: 1,
    audioInput: 0,
    audioOutput: 0,
  };
  return {
    subject,
    timeMs: nowMs,
    served: 'gpt-2026',
    status: 200,
    decision: 'admitted',
    source: 'provider',
    usage,
    cost: undefined,
    overdrafts: [],
    ...more,
  };
}

/** Settles one request with its record, in one write. */
function request(store: ReturnType<typeof open>['store'], more: Partial<UsageRecord> = {}): void {
  const { hold } = granted(reserve(store, { ...demand([bucket(total)], nowMs, 7), subject }));
  store.flush();
  settle(store, hold, charge(7, 0), nowMs);
  store.recordUsage(record(more), hold);
}

/** Copies the files of a journal as a killed process leaves them, and opens the copy. */
function afterKill(more: StoreOptions = {}) {
  const from = folder;
  folder = mkdtempSync(join(tmpdir(), 'usage-'));
  for (const name of readdirSync(from).filter((one) => !one.endsWith('.lock') && !one.endsWith('-shm'))) {
    copyFileSync(join(from, name), join(folder, name));
  }
  path = join(folder, 'quota.sqlite');
  return { ...open(more), from };
}

const tables = ({ usage }: { readonly usage: UsageTables | undefined }) => usage!;
const allHours = (of: UsageTables): readonly UsageCells[] =>
  of.hours(0, Number.MAX_SAFE_INTEGER).flatMap((hour) => of.rowsOf(hour));
const requestsIn = (of: UsageTables) => allHours(of).reduce((sum, { requests }) => sum + Number(requests), 0);
const spent = ({ store }: Pick<ReturnType<typeof open>, 'store'>) =>
  1000 - (store.snapshot([bucket(total)], nowMs)[0]?.remaining ?? 0);

test('a settled request leaves one record with its hold and charge, summed by hour', () => {
  const first = open();
  request(first.store);
  request(first.store, { subject: { ...subject, requestId: 'r2' } });
  first.store.close();
  const again = open();
  const usage = tables(again);
  const [row] = usage.find('r1');
  assert.deepEqual(
    [
      row?.['tenant'],
      row?.['user'],
      row?.['api_key'],
      row?.['model'],
      row?.['served'],
      row?.['input'],
      row?.['source'],
    ],
    ['acme', 'ann', 'default/key', 'gpt', 'gpt-2026', 5, 'provider'],
  );
  assert.deepEqual(JSON.parse(String(row?.['hold'])), {
    inputTokens: 7,
    outputTokens: 0,
    extensions: 0,
    extendedTokens: 0,
    limits: [{ quota: total.id, key: ['a'], held: 7, charged: 7 }],
  });
  const hours = allHours(usage);
  assert.deepEqual(
    hours.map(({ hour, requests, input, output }) => [hour, requests, input, output]),
    [[startMs / HOUR_MS, 2, 10, 4]],
  );
  again.store.close();
});

test('a crash between settlement and fold keeps the record, and counts it once', () => {
  const first = open();
  request(first.store);
  const other = granted(reserve(first.store, demand([bucket(total)], nowMs, 1))).hold;
  first.store.flush();
  const second = afterKill();
  assert.equal(second.recovered.holds, 1);
  // The hold that stayed open is the second request.
  assert.deepEqual([requestsIn(tables(second)), tables(second).find('r1').length], [2, 1]);
  const third = afterKill();
  assert.deepEqual([tables(third).find('r1').length, spent(third)], [1, 8]);
  second.store.close();
  third.store.close();
  settle(first.store, other, 'nothing', nowMs);
  first.store.close();
  rmSync(second.from, { recursive: true });
  rmSync(third.from, { recursive: true });
});

test('a crash before the settlement is written leaves a recovered record and no other', () => {
  const cost = costQuota(10_000);
  const first = open();
  const draws = demand([bucket(total), bucket(cost)], nowMs, 7);
  granted(reserve(first.store, { ...draws, subject }));
  first.store.flush();
  const second = afterKill();
  second.store.close();
  const third = open();
  const rows = tables(third).find('r1');
  assert.deepEqual(
    rows.map(({ decision, tenant, input }) => [decision, tenant, input]),
    [['recovered', 'acme', 0]],
  );
  assert.deepEqual(JSON.parse(String(rows[0]?.['hold'])).limits[0], {
    quota: total.id,
    key: ['a'],
    held: 7,
    charged: 7,
  });
  assert.equal(requestsIn(tables(third)), 1);
  third.store.close();
  first.store.close();
  rmSync(second.from, { recursive: true });
});

test('a log that is read again after a partial fold counts nothing twice', () => {
  mkdirSync(join(folder, 'direct'));
  const database = new JournalDatabase(join(folder, 'direct', 'quota.sqlite'));
  const batch = () => {
    const read = new JournalBatch();
    for (let id = 1; id <= 10; id++) {
      read.usage.set(id, usageRow(record(), undefined));
    }
    return read;
  };
  assert.equal(database.writeSome(batch(), 1, 12), false);
  assert.equal(requestsIn(database.usage), 4);
  assert.equal(database.applied, 0);
  database.write(batch(), 1);
  database.write(batch(), 1);
  assert.deepEqual([requestsIn(database.usage), database.usage.find('r1').length], [10, 10]);
  database.close();
});

test('requests and hours are kept as long as configured', () => {
  const keep = { usageRequestDays: 1, usageDays: 2 };
  for (const day of [0, 1.5, 3]) {
    nowMs = startMs + day * 24 * HOUR_MS;
    const { store } = open(keep);
    request(store);
    store.close();
  }
  const last = open(keep);
  assert.deepEqual(
    tables(last)
      .find('r1')
      .map(({ time_ms: time }) => time),
    [nowMs],
  );
  assert.deepEqual(
    allHours(tables(last)).map(({ hour }) => hour),
    [startMs / HOUR_MS + 36, startMs / HOUR_MS + 72],
  );
  last.store.close();
});

test('without days for requests, only sums are kept', () => {
  const { store } = open({ usageRequestDays: 0 });
  request(store);
  store.close();
  const again = open();
  assert.deepEqual([tables(again).find('r1').length, requestsIn(tables(again))], [0, 1]);
  again.store.close();
});

test('the combinations of an hour are bounded, and no request is left out', () => {
  const database = new JournalDatabase(path);
  const batch = new JournalBatch();
  for (let id = 1; id <= 2_100; id++) {
    batch.usage.set(id, usageRow(record({ subject: { ...subject, model: `m${id}` } }), undefined));
  }
  while (!database.writeSome(batch, 1, 500)) {}
  const rows = allHours(database.usage);
  assert.equal(rows.length, 2_001);
  assert.equal(rows.find(({ model }) => model === '(other)')?.['requests'], 100);
  database.close();
});

test('texts of clients are bounded', () => {
  const row = usageRow(record({ served: 'x'.repeat(10_000) }), undefined);
  assert.ok(JSON.stringify(row).length < 1_000);
});

test('a journal of an older version gets the tables of usage', () => {
  const first = open();
  settle(first.store, granted(reserve(first.store, demand([bucket(total)], nowMs, 7))).hold, charge(7, 0), nowMs);
  first.store.close();
  const file = new DatabaseSync(path);
  file.exec(`
    DROP TABLE usage_request; DROP TABLE usage_hour; DROP TABLE usage_written;
    ALTER TABLE hold DROP COLUMN subject; PRAGMA user_version = 2;
  `);
  file.close();
  const again = open();
  assert.equal(spent(again), 7);
  request(again.store);
  again.store.close();
  const third = open();
  assert.equal(requestsIn(tables(third)), 1);
  third.store.close();
});

test('without days to keep, nothing is recorded, also of holds that a crash left open', () => {
  const off = { usageDays: 0 };
  const first = open(off);
  assert.equal(first.store.keepsUsage, false);
  granted(reserve(first.store, { ...demand([bucket(total)], nowMs, 7), subject }));
  first.store.flush();
  const again = afterKill(off);
  assert.equal(spent(again), 7);
  again.store.close();
  first.store.close();
  rmSync(again.from, { recursive: true });
  assert.equal(requestsIn(tables(open(off))), 0);
});
