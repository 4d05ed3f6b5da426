import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { MemoryStore } from './memory.ts';
import { openQuotaStore } from './open.ts';
import type { BucketRef } from './store.ts';
import { bucket, charge, demand, granted, lifetime, quota, reserve, settle } from './testing.ts';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'writer-'));
  path = join(folder, 'quota.sqlite');
});
afterEach(() => rmSync(folder, { recursive: true }));

const budget = quota('TotalTokens', 1e9, { window: lifetime });
const teams = ['a', 'b', 'c', 'd'].map((team) => [bucket(budget, team)]);
const logs = () => readdirSync(folder).filter((name) => name.includes('.log-'));

/** The requests of one turn of the event loop in a busy gateway: some end, some start. */
function work(store: MemoryStore, open: ReturnType<typeof granted>['hold'][]): void {
  for (const team of teams) {
    open.push(granted(reserve(store, demand(team, Date.now(), 10))).hold);
    const ended = open.length > 40 ? open.shift() : undefined;
    if (ended !== undefined) {
      settle(store, ended, charge(10, 0), Date.now());
    }
  }
  store.flush();
}

async function until(condition: () => boolean, each: () => void = () => {}): Promise<void> {
  while (!condition()) {
    each();
    await turn();
  }
}

test('rotates logs under steady load, and the files stay small', { timeout: 30_000 }, async (t) => {
  const { store } = openQuotaStore({ path, foldEveryMs: 20 });
  const open: ReturnType<typeof granted>['hold'][] = [];
  const seen = new Set<string>();
  let most = 0;
  while (seen.size < 16) {
    for (let flushes = 0; flushes < 256; flushes++) {
      work(store, open);
    }
    // The load waits for each rotation, so that a slow machine does not write more meanwhile.
    await until(() => logs().some((log) => !seen.has(log)));
    const now = logs();
    for (const log of now) {
      seen.add(log);
    }
    most = Math.max(most, now.length);
  }
  assert(most <= 3, `${most} logs at once`);
  const bytes = readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
  t.diagnostic(`${seen.size} logs, ${bytes} bytes in ${readdirSync(folder).length} files`);
  assert(bytes < 2_000_000, `${bytes} bytes`);
  store.close();
  // A log that was being opened is removed once it is open.
  await until(() => logs().length === 0);
});

/** A store whose log can be written but not folded in: another process writes to the database. */
async function withBlockedDatabase() {
  const before = openQuotaStore({ path, foldEveryMs: 0 }).store;
  for (const team of teams) {
    spend(before, team, 100);
  }
  before.close();
  const troubles: unknown[] = [];
  const { store } = openQuotaStore({ path, foldEveryMs: 10, onTrouble: (error) => troubles.push(error) });
  const other = new DatabaseSync(path);
  other.exec('BEGIN IMMEDIATE');
  spend(store, teams[0]!, 10);
  store.flush();
  await until(() => troubles.length > 0);
  assert.match(String(troubles[0]), /database is locked/);
  const toldMs = performance.now();
  await until(() => performance.now() - toldMs > 200);
  assert.equal(troubles.length, 1);
  return { store, troubles, unblock: () => other.close() };
}

function spend(store: MemoryStore, team: readonly BucketRef[], tokens: number): void {
  settle(store, granted(reserve(store, demand(team, Date.now(), tokens))).hold, charge(tokens, 0), Date.now());
}

function spentAtNextStart(): readonly (number | undefined)[] {
  const { store } = openQuotaStore({ path, foldEveryMs: 0 });
  const spent = teams.map((team) => 1e9 - (store.snapshot(team, Date.now())[0]?.remaining ?? 0));
  store.close();
  return spent;
}

test('a log that cannot be folded in is reported and retried, and the next ones are folded in', {
  timeout: 30_000,
}, async () => {
  const { store, troubles, unblock } = await withBlockedDatabase();
  unblock();
  spend(store, teams[1]!, 10);
  store.flush();
  const [current] = logs();
  await until(() => !logs().includes(current ?? ''));
  spend(store, teams[2]!, 10);
  store.close();
  assert.equal(troubles.length, 1);
  assert.deepEqual(logs(), []);
  assert.deepEqual(spentAtNextStart(), [110, 110, 110, 100]);
});

test('a store that is closed during a failure loses nothing', { timeout: 30_000 }, async () => {
  const { store, troubles, unblock } = await withBlockedDatabase();
  spend(store, teams[1]!, 10);
  const startMs = performance.now();
  store.close();
  assert(performance.now() - startMs < 1_000);
  assert.equal(troubles.length, 2);
  unblock();
  assert.deepEqual(spentAtNextStart(), [110, 110, 100, 100]);
  assert.deepEqual(logs(), []);
});

test('the database has the holds that outlive a log, until they are settled', { timeout: 30_000 }, async () => {
  const { store } = openQuotaStore({ path, foldEveryMs: 20 });
  const reader = new DatabaseSync(path, { readOnly: true });
  const applied = () => Number(reader.prepare('SELECT log FROM applied').get()?.['log']);
  const holds = () => reader.prepare('SELECT id FROM hold').all().length;
  const folded = async () => {
    const before = applied();
    store.flush();
    await until(() => applied() > before);
  };
  const kept = granted(reserve(store, demand(teams[0]!, Date.now(), 10))).hold;
  const settled = granted(reserve(store, demand(teams[1]!, Date.now(), 10))).hold;
  await folded();
  spend(store, teams[2]!, 7);
  await folded();
  assert.equal(holds(), 2);
  settle(store, settled, charge(3, 0), Date.now());
  spend(store, teams[3]!, 5);
  await folded();
  assert.equal(holds(), 1);
  settle(store, kept, charge(4, 0), Date.now());
  await folded();
  assert.equal(holds(), 0);
  reader.close();
  store.close();
  assert.deepEqual(spentAtNextStart(), [4, 3, 7, 5]);
});

test('folds many changes in steps, while others can read the file', { timeout: 30_000 }, async () => {
  const { store } = openQuotaStore({ path, foldEveryMs: 20 });
  for (let team = 0; team < 1_234; team++) {
    spend(store, [bucket(budget, `team-${team}`)], 5);
  }
  const { hold } = granted(reserve(store, demand(teams[0]!, Date.now(), 10)));
  store.flush();
  const reader = new DatabaseSync(path, { readOnly: true });
  const count = (table: string) => Number(reader.prepare(`SELECT count(*) AS rows FROM ${table}`).get()?.['rows']);
  await until(() => count('window') === 1_235 && count('hold') === 1);
  settle(store, hold, charge(10, 0), Date.now());
  store.flush();
  await until(() => count('hold') === 0);
  const applied = () => Number(reader.prepare('SELECT log FROM applied').get()?.['log']);
  for (let round = 0; round < 12; round++) {
    const before = applied();
    for (let team = 0; team < 1_234; team++) {
      spend(store, [bucket(budget, `team-${team}`)], 5);
    }
    store.flush();
    await until(() => applied() > before);
  }
  reader.close();
  const { size } = statSync(`${path}-wal`);
  assert(size < 500_000, `the WAL has ${size} bytes`);
  store.close();
});
