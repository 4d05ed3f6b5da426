import assert from 'node:assert/strict';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, test } from 'node:test';
import { JournalError } from './journal-database.ts';
import { openQuotaStore, type StoreOptions } from './open.ts';
import {
  bound,
  bucket,
  charge,
  counts,
  define,
  demand,
  extend,
  granted,
  lease,
  lifetime,
  minute,
  quota,
  reserve,
  settle,
  slidingMinute,
  startMs,
} from './testing.ts';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quota-'));
  path = join(folder, 'quota.sqlite');
});
afterEach(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 20 }));

const open = (nowMs = startMs, more: StoreOptions = {}) =>
  openQuotaStore({ path, foldEveryMs: 0, nowMs: () => nowMs, ...more });

const total = quota('TotalTokens', 1000);
const remaining = (store: ReturnType<typeof open>['store'], of: typeof total, atMs = startMs) =>
  store.snapshot([bucket(of)], atMs)[0]?.remaining;

const logs = () => readdirSync(folder).filter((name) => name.includes('.log-'));

for (const foldEveryMs of [0, 500]) {
  test(`charges survive, and open holds are charged in full once (folding every ${foldEveryMs} ms)`, () => {
    const all = [
      total,
      quota('Requests', 10, { window: slidingMinute }),
      quota('OutputTokens', 1000, { window: lifetime }),
    ];
    const buckets = all.map((of) => bucket(of));
    const first = open(startMs, { foldEveryMs }).store;
    settle(first, granted(reserve(first, demand(buckets, startMs, 100, lease(50)))).hold, charge(90, 20), startMs);
    const { hold } = granted(reserve(first, demand(buckets, startMs, 100, lease(50))));
    first.flush();
    assert.equal(extend(first, hold, lease(25), startMs), 25);
    first.flush();
    first.close();

    const second = open(startMs, { foldEveryMs });
    assert.deepEqual(second.recovered, {
      holds: 1,
      charged: new Map([
        [total.id, { amount: 175, unit: 'tokens' }],
        ['default/teams/OutputTokens', { amount: 75, unit: 'output tokens' }],
      ]),
    });
    const left = () => buckets.map((ref) => second.store.snapshot([ref], startMs)[0]?.remaining);
    assert.deepEqual(left(), [1000 - 110 - 175, 8, 1000 - 20 - 75]);
    second.store.close();

    const third = open(startMs, { foldEveryMs });
    assert.equal(third.recovered.holds, 0);
    assert.deepEqual(
      buckets.map((ref) => third.store.snapshot([ref], startMs)[0]?.remaining),
      [1000 - 110 - 175, 8, 1000 - 20 - 75],
    );
    third.store.close();
  });
}

test('ended windows are forgotten, their overdrafts are not', () => {
  const minutely = quota('TotalTokens', 100, { window: minute });
  const first = open().store;
  settle(first, granted(reserve(first, demand([bucket(minutely)], startMs, 10))).hold, charge(250, 0), startMs);
  first.close();
  const second = open(startMs + 60_000).store;
  assert.equal(second.top(1, startMs + 60_000)[0]?.spent, 150);
  second.close();
  const third = open(startMs + 180_000).store;
  assert.equal(counts(third).buckets, 0);
  third.close();
});

test('windows that are no longer needed are removed from the file', () => {
  const minutely = quota('TotalTokens', 100, { window: minute });
  const { store } = open();
  const { hold } = granted(reserve(store, demand([bucket(minutely)], startMs, 10)));
  for (let count = 0; count < 5; count++) {
    const atMs = startMs + 60_000 * count;
    settle(store, granted(reserve(store, demand([bucket(minutely)], atMs, 10))).hold, charge(10, 0), atMs);
    store.flush();
  }
  settle(store, hold, charge(10, 0), startMs + 240_000);
  store.close();
  const file = new DatabaseSync(path);
  assert.deepEqual(
    file
      .prepare('SELECT start_ms FROM window')
      .all()
      .map((row) => row['start_ms']),
    [startMs + 240_000],
  );
  file.close();
});

test('a hold of an ended window is charged there', () => {
  const minutely = quota('TotalTokens', 100, { window: minute });
  const first = open().store;
  granted(reserve(first, demand([bucket(minutely)], startMs, 60)));
  granted(reserve(first, demand([bucket(minutely)], startMs + 60_000, 30)));
  first.close();
  const second = open(startMs + 60_000);
  assert.deepEqual(second.recovered.charged.get(minutely.id), { amount: 90, unit: 'tokens' });
  assert.equal(remaining(second.store, minutely, startMs + 60_000), 70);
  second.store.close();
});

test('a changed quota keeps what was spent if it counts the same way', () => {
  const first = open().store;
  settle(first, granted(reserve(first, demand([bucket(total)], startMs, 400))).hold, charge(400, 0), startMs);
  first.close();
  const second = open().store;
  define(second, [quota('TotalTokens', 500)], startMs);
  assert.equal(remaining(second, quota('TotalTokens', 500)), 100);
  second.close();
  const third = open().store;
  define(third, [quota('TotalTokens', 500, { window: slidingMinute })], startMs);
  assert.equal(remaining(third, quota('TotalTokens', 500, { window: slidingMinute })), 500);
  third.close();
});

test('the segments of a sliding window survive', () => {
  const sliding = quota('TotalTokens', 1000, { window: slidingMinute });
  const first = open().store;
  for (let second = 0; second < 90; second += 5) {
    const atMs = startMs + second * 1000;
    settle(first, granted(reserve(first, demand([bucket(sliding)], atMs, 10))).hold, charge(10, 0), atMs);
    first.flush();
  }
  const nowMs = startMs + 90_000;
  const before = remaining(first, sliding, nowMs);
  const laterBefore = remaining(first, sliding, nowMs + 30_000);
  const written = readFileSync(join(folder, logs()[0] ?? ''), 'utf8');
  assert.equal(written.split('["s"').length - 1, 18, 'only the segments that changed');
  first.close();
  const again = open(nowMs).store;
  assert(before !== undefined && before < 900);
  assert.equal(remaining(again, sliding, nowMs + 30_000), laterBefore);
  again.close();
  const longer = open(nowMs).store;
  const twoMinutes = quota('TotalTokens', 1000, { window: { type: 'Sliding', durationMs: 120_000 } });
  assert((remaining(longer, twoMinutes, nowMs) ?? 1000) <= before);
  longer.close();
});

test('a sliding window survives a clock that was a year ahead, in memory and in the journal', () => {
  const sliding = quota('Requests', 10, { window: slidingMinute });
  const aheadMs = startMs + 365 * 86_400_000;
  const ask = (store: ReturnType<typeof open>['store'], atMs: number) =>
    reserve(store, demand([bucket(sliding)], atMs, 0))?.type;
  const first = open().store;
  ask(first, aheadMs);
  first.flush();
  for (let count = 0; count < 10; count++) {
    assert.equal(ask(first, startMs), 'granted', `${count}`);
  }
  assert.equal(ask(first, startMs), 'refused');
  first.flush();
  assert.equal(remaining(first, sliding, startMs + 62_000), 10);
  first.close();
  const second = open().store;
  assert.equal(remaining(second, sliding, startMs), 0, 'charges at the right time survive');
  second.close();
  // The journal has forgotten the one request of the year ahead.
  const third = open(aheadMs).store;
  assert.equal(counts(third).buckets, 0);
  third.close();

  rmSync(folder, { recursive: true });
  mkdirSync(folder);
  const glitch = open(aheadMs).store;
  ask(glitch, aheadMs);
  glitch.close();
  const right = open().store;
  assert.equal(counts(right).buckets, 0, 'journaled while the clock was ahead');
  right.close();
});

test('a hold that is opened and settled within a tick is never written', () => {
  const { store } = open();
  settle(store, granted(reserve(store, demand([bucket(total)], startMs, 7))).hold, charge(7, 0), startMs);
  store.flush();
  const [log] = logs();
  const written = log === undefined ? '' : readFileSync(join(folder, log), 'utf8');
  assert.match(written, /\["w",1,7,0,0\]/);
  assert.doesNotMatch(written, /\["[hd]"/);
  const { size } = statSync(join(folder, log ?? ''));
  store.flush();
  assert.equal(statSync(join(folder, log ?? '')).size, size);
  store.close();
});

test('a truncated line is ignored', () => {
  const { store } = open();
  settle(store, granted(reserve(store, demand([bucket(total)], startMs, 7))).hold, charge(7, 0), startMs);
  store.flush();
  const [log] = logs();
  appendFileSync(join(folder, log ?? ''), '[["w",1,900,0,0],["x"');
  store.close();
  const again = open().store;
  assert.equal(remaining(again, total), 993);
  again.close();
});

test('a log that is already folded in is ignored', async () => {
  const { store } = open();
  settle(store, granted(reserve(store, demand([bucket(total)], startMs, 7))).hold, charge(7, 0), startMs);
  store.flush();
  const [log] = logs();
  store.close();
  writeFileSync(join(folder, log ?? ''), '[["w",1,800,0,0]]\n');
  const { store: again, usage } = open();
  assert.equal(remaining(again, total), 993);
  again.close();
  await usage?.close(10_000);
  assert.deepEqual(logs(), []);
});

test('an unusable folder is an error that names the fix', () => {
  writeFileSync(join(folder, 'file'), '');
  for (const wrong of [join(folder, 'file', 'quota.sqlite'), '/proc/quota.sqlite']) {
    assert.throws(
      () => openQuotaStore({ path: wrong }),
      (error) => error instanceof JournalError && error.message.includes(wrong) && /writable/.test(error.message),
    );
  }
});

test('only one process can open a journal', () => {
  const { store } = open();
  assert.throws(() => open(), new RegExp(`${path} is in use by another process`));
  store.close();
  open().store.close();
});

test('an unusable file is named with the fix, and left unchanged', () => {
  writeFileSync(
    path,
    'this is not a database, it is text that is long enough to have a header of 100 bytes'.repeat(50),
  );
  assert.throws(() => open(), new RegExp(`${path} cannot be read .*restore a backup`));
  assert.throws(() => open(), /cannot be read/);
  rmSync(path);

  new DatabaseSync(path).exec('CREATE TABLE theirs (x)');
  assert.throws(() => open(), new RegExp(`${path} is the SQLite file of another program`));
  rmSync(path);

  open().store.close();
  const file = new DatabaseSync(path);
  file.exec('PRAGMA user_version = 99');
  file.close();
  assert.throws(() => open(), new RegExp(`${path} was written by a newer version \\(schema 99`));
});

test('a disk that refuses the log is reported, and the store goes on', () => {
  const troubles: unknown[] = [];
  const { store } = open(startMs, {
    maxLogBytes: 300,
    onTrouble: (error) => troubles.push(error),
  });
  const trusting = quota('TotalTokens', 1000, { onJournalLoss: 'FailOpen' });
  for (let count = 0; count < 100; count++) {
    const { hold } = granted(reserve(store, demand([bucket(trusting)], startMs, 1)));
    store.flush();
    settle(store, hold, charge(1, 0), startMs);
    store.flush();
  }
  assert.equal(troubles.length, 1);
  assert.match(String(troubles[0]), /the log is full/);
  assert.match(store.journalFailure ?? '', /the log is full/);
  assert.equal(remaining(store, trusting), 900);
  store.close();
});

test('memory only', () => {
  const { store, recovered } = openQuotaStore();
  granted(reserve(store, demand([bucket(total)], startMs, 1, bound(1))));
  store.flush();
  store.close();
  assert.equal(recovered.holds, 0);
  assert.deepEqual(readdirSync(folder), []);
});

test('a settlement within its hold waits for the next grant; an overdraft does not', async () => {
  const { store } = open(startMs, { settlementDelayMs: 60_000 });
  const written = () => statSync(join(folder, logs()[0] ?? '')).size;
  const hold = () => granted(reserve(store, demand([bucket(total)], startMs, 100))).hold;
  const within = hold();
  const beyond = hold();
  store.flush();
  const holds = written();
  settle(store, within, charge(90, 0), startMs);
  store.flush();
  assert.equal(written(), holds);
  settle(store, beyond, charge(110, 0), startMs);
  store.flush();
  const both = written();
  assert.ok(both > holds);
  settle(store, hold(), charge(90, 0), startMs);
  store.close();
  const again = open();
  assert.equal(again.recovered.holds, 0);
  assert.equal(remaining(again.store, total), 1000 - 90 - 110 - 90);
  again.store.close();
});

test('a settlement without a next grant is written soon', { timeout: 10_000 }, async () => {
  const { store } = open(startMs, { settlementDelayMs: 5 });
  const { hold } = granted(reserve(store, demand([bucket(total)], startMs, 100)));
  store.flush();
  const log = join(folder, logs()[0] ?? '');
  const { size } = statSync(log);
  settle(store, hold, charge(90, 0), startMs);
  store.flush();
  while (statSync(log).size === size) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  store.close();
});
