import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, test } from 'node:test';
import type { JournalDamage } from './journal-log.ts';
import { openQuotaStore, type StoreOptions } from './open.ts';
import { bucket, charge, demand, granted, quota, reserve, settle, startMs } from './testing.ts';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'damage-'));
  path = join(folder, 'quota.sqlite');
});
afterEach(() => rmSync(folder, { recursive: true }));

const open = (more: StoreOptions = {}) => openQuotaStore({ path, foldEveryMs: 0, nowMs: () => startMs, ...more });
const total = quota('TotalTokens', 1000);
const logs = () => readdirSync(folder).filter((name) => name.includes('.log-'));

/**
 * Simulates a killed process: charges 7 tokens to each team, a line each, and applies `harm` to the
 * log before the next start.
 */
function afterHarm(teams: readonly string[], harm: (log: Buffer) => Buffer) {
  rmSync(folder, { recursive: true });
  mkdirSync(folder);
  const { store } = open();
  for (const team of teams) {
    const { hold } = granted(reserve(store, demand([bucket(total, team)], startMs, 7)));
    settle(store, hold, charge(7, 0), startMs);
    store.flush();
  }
  const log = join(folder, logs()[0] ?? '');
  const harmed = harm(readFileSync(log));
  store.close();
  writeFileSync(join(folder, 'quota.sqlite.log-9'), harmed);
  rmSync(path);
  rmSync(`${path}-wal`, { force: true });
  const damages: JournalDamage[] = [];
  const again = open({ onDamage: (damage) => damages.push(damage) }).store;
  const spent = teams.map((team) => 1000 - (again.snapshot([bucket(total, team)], startMs)[0]?.remaining ?? 0));
  again.close();
  return { spent, damages };
}

const lineStarts = (log: Buffer) => [0, ...[...log.entries()].flatMap(([at, byte]) => (byte === 10 ? [at + 1] : []))];

test('a damaged line loses only itself, and the loss is reported', () => {
  const teams = ['a', 'b', 'c', 'd'];
  let at = 0;
  const whole = afterHarm(teams, (log) => log);
  assert.deepEqual(whole, { spent: [7, 7, 7, 7], damages: [] });
  const { spent, damages } = afterHarm(teams, (log) => {
    at = lineStarts(log)[1] ?? 0;
    // Still valid JSON of the right form: only the checksum detects it.
    log[log.indexOf('7,0,0', at)] = '1'.charCodeAt(0);
    return log;
  });
  assert.deepEqual(spent, [7, 0, 7, 7]);
  assert.deepEqual(damages, [
    {
      file: join(folder, 'quota.sqlite.log-9'),
      lines: 4,
      linesLost: 1,
      firstLostAtByte: at,
      cutBytes: 0,
      windowsLost: 0,
    },
  ]);
});

test('windows whose first record or quota is lost are reported', () => {
  const { spent, damages } = afterHarm(['a', 'b', 'b'], (log) => {
    log[lineStarts(log)[1]! + 3] = 0;
    return log;
  });
  assert.deepEqual(spent, [7, 0, 0]);
  assert.deepEqual([damages[0]?.linesLost, damages[0]?.windowsLost], [1, 1]);
  const first = afterHarm(['a', 'b'], (log) => {
    log[3] = 0;
    return log;
  });
  assert.deepEqual(
    first.damages.map(({ file, windowsLost }) => [file, windowsLost]),
    [
      [join(folder, 'quota.sqlite.log-9'), 0],
      [path, 1],
    ],
  );
});

for (const [what, line] of [
  ['an object', '{}'],
  ['a number', '17'],
  ['null', 'null'],
  ['a list of no records', '[7]'],
  ['a record of another tag', '[["z",1]]'],
  ['a negative amount', '[["w",1,-5,0,0]]'],
  ['an amount that is no number', '[["w",1,"5",0,0]]'],
  ['an unsafe amount', '[["w",1,1e300,0,0]]'],
  ['a hold without parts', '[["h",1]]'],
  ['parts of another form', '[["h",1,[[1]]]]'],
  ['values that are no texts', '[["b",1,"q","k",[1],"x",0]]'],
] as const) {
  test(`JSON of another form is reported as damage: ${what}`, () => {
    const { spent, damages } = afterHarm(['a', 'b'], (log) => Buffer.concat([Buffer.from(`${line}\n`), log]));
    assert.deepEqual(spent, [7, 7]);
    assert.deepEqual([damages.length, damages[0]?.linesLost, damages[0]?.firstLostAtByte], [1, 1, 0]);
  });
}

test('reads logs of an older version, without checksums', () => {
  const old = (log: Buffer) => Buffer.from(log.toString().replaceAll(/^[0-9a-f]{8} /gm, ''));
  const { spent, damages } = afterHarm(['a', 'b'], (log) => {
    assert.notDeepEqual(old(log), log);
    return old(log);
  });
  assert.deepEqual([spent, damages], [[7, 7], []]);
});

test('an incomplete last line is reported and loses nothing', () => {
  const { spent, damages } = afterHarm(['a', 'b'], (log) => Buffer.concat([log, log.subarray(0, 12)]));
  assert.deepEqual(spent, [7, 7]);
  assert.deepEqual([damages[0]?.linesLost, damages[0]?.cutBytes], [0, 12]);
});

test('an unreadable quota in the database is reported, and the others stay', () => {
  const { store } = open();
  for (const each of [total, quota('InputTokens', 1000)]) {
    settle(store, granted(reserve(store, demand([bucket(each)], startMs, 7))).hold, charge(7, 0), startMs);
  }
  store.close();
  const file = new DatabaseSync(path);
  file.exec(`UPDATE quota SET definition = '{"id":"x"}' WHERE id = '${total.id}'`);
  file.close();
  const damages: JournalDamage[] = [];
  const again = open({ onDamage: (damage) => damages.push(damage) }).store;
  assert.equal(again.snapshot([bucket(quota('InputTokens', 1000))], startMs)[0]?.remaining, 993);
  assert.deepEqual([damages.length, damages[0]?.file, damages[0]?.windowsLost], [1, path, 1]);
  again.close();
});
