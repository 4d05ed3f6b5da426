import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { journalLine, usageText } from './journal-record.ts';
import { splitUsage } from './journal-upgrade.ts';
import { type OpenStore, openQuotaStore, type StoreOptions } from './open.ts';
import { bucket, charge, costQuota, demand, granted, noOutput, quota, reserve, settle, startMs } from './testing.ts';
import { blockTable, UsageBlocks, type UsageCells } from './usage-blocks.ts';
import { UsageDatabase, usagePath } from './usage-database.ts';
import { explainUsage } from './usage-explain.ts';
import { type UsageRecord, type UsageSubject, usageColumns, usageRow } from './usage-record.ts';
import { type RecordedRequest, recordPage } from './usage-records.ts';
import { type UsageTables, usageDefaults, usageSchema } from './usage-tables.ts';

let folder: string;
let path: string;
let nowMs: number;
let databases: UsageDatabase[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'usage-'));
  path = join(folder, 'quota.sqlite');
  nowMs = startMs;
});
afterEach(() => {
  for (const database of databases) {
    database.close();
  }
  databases = [];
  rmSync(folder, { recursive: true });
});

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
    imageInput: 0,
    imageOutput: 0,
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

/** Returns the tables once everything that the journal has is in them. */
async function tables({ usage }: Pick<OpenStore, 'usage'>): Promise<UsageTables> {
  await usage?.close(10_000);
  return reopened().tables;
}

function reopened(): UsageDatabase {
  const database = new UsageDatabase(usagePath(path), usageDefaults);
  databases.push(database);
  return database;
}

const allHours = (of: UsageTables): readonly UsageCells[] =>
  of.hours(0, Number.MAX_SAFE_INTEGER).flatMap((hour) => of.rowsOf(hour));
const requestsIn = (of: UsageTables) => allHours(of).reduce((sum, { requests }) => sum + Number(requests), 0);
const spent = ({ store }: Pick<OpenStore, 'store'>) =>
  1000 - (store.snapshot([bucket(total)], nowMs)[0]?.remaining ?? 0);
const logs = () => readdirSync(folder).filter((name) => name.includes('.log-'));

test('a settled request leaves one record with its hold and charge, summed by hour', async () => {
  const first = open();
  request(first.store);
  request(first.store, { subject: { ...subject, requestId: 'r2' } });
  first.store.close();
  const usage = await tables(first);
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
    limits: [{ quota: total.id, key: ['a'], held: 7, charged: 7, unit: 'tokens' }],
  });
  const hours = allHours(usage);
  assert.deepEqual(
    hours.map(({ hour, requests, input, output }) => [hour, requests, input, output]),
    [[startMs / HOUR_MS, 2, 10, 4]],
  );
  assert.deepEqual(logs(), []);
});

test('a crash between settlement and fold keeps the record, and counts it once', async () => {
  const first = open();
  request(first.store);
  const other = granted(reserve(first.store, demand([bucket(total)], nowMs, 1))).hold;
  first.store.flush();
  const second = afterKill();
  assert.equal(second.recovered.holds, 1);
  // The second process ends before its worker has written anything: the third one knows it all.
  const third = afterKill();
  // The hold that stayed open is the second request.
  const usage = await tables(third);
  assert.deepEqual([requestsIn(usage), usage.find('r1').length, spent(third)], [2, 1, 8]);
  const fourth = afterKill();
  const again = await tables(fourth);
  assert.deepEqual([requestsIn(again), spent(fourth)], [2, 8]);
  for (const { store, usage: archive } of [second, third, fourth]) {
    store.close();
    await archive?.close(10_000);
  }
  settle(first.store, other, 'nothing', nowMs);
  first.store.close();
  for (const { from } of [second, third, fourth]) {
    rmSync(from, { recursive: true });
  }
});

test('a crash before the settlement is written leaves a recovered record and no other', async () => {
  const cost = costQuota(10_000);
  const first = open();
  const prices = { currency: 'USD', perMillionTokens: { input: 1_000_000, output: 0 } };
  const draws = demand([bucket(total), bucket(cost)], nowMs, 7, noOutput, true, prices);
  granted(reserve(first.store, { ...draws, subject }));
  first.store.flush();
  const second = afterKill();
  const usage = await tables(second);
  const rows = usage.find('r1');
  assert.deepEqual(
    rows.map(({ decision, tenant, input }) => [decision, tenant, input]),
    [['recovered', 'acme', 0]],
  );
  assert.deepEqual(JSON.parse(String(rows[0]?.['hold'])).limits, [
    { quota: total.id, key: ['a'], held: 7, charged: 7, unit: 'tokens' },
    { quota: cost.id, key: ['a'], held: '0.000000007', charged: '0.000000007', unit: 'USD' },
  ]);
  assert.deepEqual(second.recovered.charged.get(cost.id), { amount: '0.000000007', unit: 'USD' });
  second.store.close();
  const third = open();
  assert.equal(requestsIn(await tables(third)), 1);
  third.store.close();
  first.store.close();
  rmSync(second.from, { recursive: true });
});

test('a log that is read again after a crash of the worker counts nothing twice', async () => {
  const first = open();
  for (let nth = 0; nth < 10; nth++) {
    request(first.store);
    first.store.flush();
  }
  first.store.close();
  const [log] = logs();
  const kept = join(folder, 'kept');
  copyFileSync(join(folder, log!), kept);
  await tables(first);
  copyFileSync(kept, join(folder, log!));
  const second = open();
  request(second.store);
  second.store.close();
  const usage = await tables(second);
  assert.deepEqual([requestsIn(usage), usage.find('r1').length], [11, 11]);
});

test('while the file cannot be written, records wait in the logs, and are written later', async () => {
  const troubles: unknown[] = [];
  const first = open({ foldEveryMs: 10, onUsageTrouble: (error) => troubles.push(error) });
  mkdirSync(usagePath(path));
  while (troubles.length === 0) {
    request(first.store);
    first.store.flush();
    await sleep(20);
  }
  assert.match(String(troubles[0]), /EISDIR/);
  rmSync(usagePath(path), { recursive: true });
  first.store.close();
  const usage = await tables(first);
  assert.equal(requestsIn(usage), spent(open()) / 7);
});

test('requests and hours are kept as long as configured', async () => {
  const keep = { usageRequestDays: 1, usageDays: 2 };
  for (const day of [0, 1.5, 3]) {
    nowMs = startMs + day * 24 * HOUR_MS;
    const { store, usage } = open(keep);
    request(store);
    store.close();
    await usage?.close(10_000);
  }
  const last = reopened().tables;
  assert.deepEqual(
    last.find('r1').map(({ time_ms: time }) => time),
    [nowMs],
  );
  assert.deepEqual(
    allHours(last).map(({ hour }) => hour),
    [startMs / HOUR_MS + 36, startMs / HOUR_MS + 72],
  );
});

test('a process that runs for days finds requests by their time', async () => {
  const first = open();
  for (const day of [0, 1.5, 3]) {
    nowMs = startMs + day * 24 * HOUR_MS;
    request(first.store);
    first.store.flush();
  }
  first.store.close();
  const usage = await tables(first);
  const newest = usage.requests(usage.idBefore(nowMs), Number.MAX_SAFE_INTEGER, 10);
  assert.deepEqual(
    newest.map(({ time_ms: time }) => time),
    [nowMs],
  );
});

test('single requests are written once and read from any id on', () => {
  const database = reopened();
  const rows = Array.from({ length: 1_000 }, (_, nth) =>
    JSON.stringify(usageRow(record({ subject: { ...subject, requestId: `r${nth}` } }), undefined)),
  );
  for (let nth = 0; nth < rows.length; nth += 10) {
    database.writeText(usageText(nth + 10, rows.slice(nth, nth + 10)));
    // A part of it again.
    database.writeText(usageText(nth + 10, rows.slice(nth + 3, nth + 10)));
  }
  const { tables } = database;
  assert.equal(requestsIn(tables), 1_000);
  assert.deepEqual(
    tables.find('r500').map(({ id }) => id),
    [501],
  );
  const ids = tables.requests(495, Number.MAX_SAFE_INTEGER, 300).map(({ id }) => id);
  assert.deepEqual([ids.length, ids[0], ids.at(-1)], [300, 496, 795]);
});

test('the search for requests ends soon after the given time', () => {
  const database = new DatabaseSync(':memory:');
  database.exec(blockTable);
  const blocks = new UsageBlocks(database);
  const row = JSON.stringify(usageRow(record(), undefined));
  blocks.add(nowMs * 1_000, 1, Buffer.from(usageText(nowMs * 1_000, [row])));
  const laterMs = nowMs + 2 * HOUR_MS;
  for (const id of [laterMs * 1_000, laterMs * 1_000 + 1]) {
    blocks.add(id, 1, Buffer.from(usageText(id, [row])));
  }
  const read = (untilMs: number) => blocks.requests(0, untilMs, 10).length;
  assert.deepEqual([read(nowMs), read(nowMs + 1), read(laterMs)], [0, 2, 3]);
});

test('tokens of images are recorded, and rows of earlier versions have none', () => {
  const database = reopened();
  const usage = { ...record().usage!, imageInput: 7, imageOutput: 9 };
  const row = usageRow(record({ usage }), undefined);
  database.writeText(usageText(1, [JSON.stringify(row)]));
  database.writeText(usageText(2, [JSON.stringify(row.slice(0, 26))]));
  const page = recordPage(database.tables, { afterId: 0, sinceMs: 0, untilMs: Number.MAX_SAFE_INTEGER });
  const [now, before] = page.lines
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as RecordedRequest);
  assert.deepEqual([now?.usage?.imageInput, now?.usage?.imageOutput, now?.hasImageTokens], [7, 9, true]);
  assert.deepEqual([before?.usage?.imageInput, before?.usage?.input, before?.hasImageTokens], [0, 5, false]);
  assert.equal(explainUsage(database.tables, 'r1')[1]?.tokens?.['imageOutput'], 9);
});

test('without days for requests, only sums are kept', async () => {
  const first = open({ usageRequestDays: 0 });
  request(first.store);
  first.store.close();
  const usage = await tables(first);
  assert.deepEqual([usage.find('r1').length, requestsIn(usage)], [0, 1]);
});

test('the combinations of an hour are bounded, and no request is left out', () => {
  const database = reopened();
  const rows = Array.from({ length: 2_100 }, (_, nth) =>
    JSON.stringify(usageRow(record({ subject: { ...subject, model: `m${nth}` } }), undefined)),
  );
  database.writeText(usageText(rows.length, rows));
  const hours = allHours(database.tables);
  assert.equal(hours.length, 2_001);
  assert.equal(hours.find(({ model }) => model === '(other)')?.['requests'], 100);
});

test('texts of clients are bounded', () => {
  const row = usageRow(record({ served: 'x'.repeat(10_000) }), undefined);
  assert.ok(JSON.stringify(row).length < 1_000);
});

const removeVersion4 = `
  DROP TABLE recovered; DROP TABLE audit; ALTER TABLE applied DROP COLUMN usage;
  ALTER TABLE window DROP COLUMN granted; ALTER TABLE window DROP COLUMN granted_until_ms;
`;

/** The table of schema version 3. */
const requestTable = `
  CREATE TABLE usage_request (id INTEGER PRIMARY KEY, ${Object.entries(usageColumns)
    .map(([name, type]) => `${name} ${type}`)
    .join(', ')});
  CREATE INDEX usage_request_id ON usage_request (request_id);
`;

/** Turns the files of a journal into those of schema version 3, with usage in the journal. */
function downgrade(): void {
  const rows = reopened().tables.requests(0, Number.MAX_SAFE_INTEGER, 1_000);
  databases.pop()?.close();
  const file = new DatabaseSync(path);
  file.exec(`
    ${removeVersion4} PRAGMA user_version = 3;
    ATTACH '${usagePath(path)}' AS other; ${usageSchema}; DROP TABLE usage_block; ${requestTable}
    DELETE FROM usage_written;
    INSERT INTO usage_written SELECT * FROM other.usage_written;
    INSERT INTO usage_hour SELECT * FROM other.usage_hour;
  `);
  for (const row of rows) {
    const values = Object.values(row);
    file.prepare(`INSERT INTO usage_request VALUES (${values.map(() => '?').join()})`).run(...values);
  }
  file.close();
  rmSync(usagePath(path));
}

test('a journal of schema version 3 keeps its budgets and its usage, also that of its logs', async () => {
  const first = open();
  request(first.store);
  first.store.close();
  const before = await tables(first);
  const [row] = before.find('r1');
  const id = Number(row?.['id']);
  databases.pop()?.close();
  downgrade();
  // A log whose first record was folded in before the crash.
  const old = usageRow(record({ subject: { ...subject, requestId: 'r2' } }), undefined);
  const lines = journalLine(
    JSON.stringify([
      ['u', id, Object.values(row!).slice(1)],
      ['u', id + 1, old],
    ]),
    '',
  );
  writeFileSync(`${path}.log-99`, lines);
  const again = open();
  assert.equal(spent(again), 7);
  request(again.store, { subject: { ...subject, requestId: 'r3' } });
  again.store.close();
  const usage = await tables(again);
  assert.deepEqual(
    ['r1', 'r2', 'r3'].map((one) => usage.find(one).length),
    [1, 1, 1],
  );
  assert.equal(requestsIn(usage), 3);
  const third = open();
  assert.equal(spent(third), 14);
  third.store.close();
});

test('an upgrade that was interrupted between its two renames continues', async () => {
  const first = open();
  request(first.store);
  first.store.close();
  await tables(first);
  databases.pop()?.close();
  downgrade();
  splitUsage(path);
  renameSync(path, `${path}.upgrade`);
  const again = open();
  assert.equal(spent(again), 7);
  assert.equal(requestsIn(await tables(again)), 1);
  again.store.close();
});

test('a journal of an older version without usage starts to keep it', async () => {
  const first = open();
  settle(first.store, granted(reserve(first.store, demand([bucket(total)], nowMs, 7))).hold, charge(7, 0), nowMs);
  first.store.close();
  const file = new DatabaseSync(path);
  file.exec(`
    ${removeVersion4}
    ALTER TABLE hold DROP COLUMN subject; PRAGMA user_version = 2;
  `);
  file.close();
  const again = open();
  assert.equal(spent(again), 7);
  request(again.store);
  again.store.close();
  assert.equal(requestsIn(await tables(again)), 1);
});

test('without days to keep, nothing is recorded, also of holds that a crash left open', async () => {
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
  const on = open();
  assert.equal(requestsIn(await tables(on)), 0);
  on.store.close();
});
