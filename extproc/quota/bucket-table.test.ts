import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Quota } from '../../contract/policy.ts';
import { REMOVED_GRACE_MS } from './bucket-table.ts';
import type { MemoryStore } from './memory.ts';
import { openQuotaStore, type StoreOptions } from './open.ts';
import type { QuotaKeys } from './store.ts';
import {
  bucket,
  charge,
  counts,
  define,
  demand,
  granted,
  lifetime,
  minute,
  quota,
  reserve,
  settle,
  simulate,
  startMs,
} from './testing.ts';

const month = { type: 'Calendar', unit: 'Month', timeZone: 'UTC' } as const;
const requestsOf = (id: string, more: Partial<Quota> = {}) => quota('Requests', 1000, { id, window: month, ...more });
const ask = (store: MemoryStore, of: Quota, key: string, atMs = startMs) =>
  reserve(store, demand([bucket(of, key)], atMs, 0));

/** Sends `count` different keys and returns how many were granted. */
function forge(store: MemoryStore, of: Quota, keys: number): number {
  let taken = 0;
  for (let key = 0; key < keys; key++) {
    taken += ask(store, of, `forged-${key}`)?.type === 'granted' ? 1 : 0;
  }
  return taken;
}

test('forged keys of one tenant take no room from new keys of others', () => {
  const { store } = simulate({ maxBuckets: 1000 });
  const attackers = Array.from({ length: 4 }, (_, nth) => requestsOf(`tenant-a/p/${nth}`));
  const victim = requestsOf('tenant-b/p/q', { window: minute });
  const late = requestsOf('tenant-c/p/q');
  define(store, [...attackers, victim, late], startMs);
  for (const attacker of attackers) {
    assert(forge(store, attacker, 2000) >= 1000 / 2 / 6);
  }
  const refusal = ask(store, attackers[0]!, 'an honest user');
  assert(refusal?.type === 'refused' && refusal.reason === 'keys' && refusal.bucket.quota.id === attackers[0]!.id);
  assert.equal(ask(store, attackers[0]!, 'forged-1')?.type, 'granted', 'a known key is still granted');
  for (const honest of [victim, late]) {
    assert(forge(store, honest, 2000) >= 1000 / 2 / 6, honest.id);
  }
  assert(counts(store).buckets <= 1000, `${counts(store).buckets}`);
});

test('a single quota may have three quarters of the table, and is reported when it nears them', () => {
  const told: QuotaKeys[] = [];
  const { store } = simulate({ maxBuckets: 1000, onNearlyFull: (keys) => told.push(keys) });
  const only = requestsOf('default/p/only', { window: minute });
  define(store, [only], startMs);
  assert.equal(forge(store, only, 2000), 750);
  assert.deepEqual(told, [{ quota: only.id, keys: 600, most: 750 }]);
  assert.deepEqual(store.keys(10), [{ quota: only.id, keys: 750, most: 750 }]);
  // Its keys expire with their minute, and the next flood is reported again.
  for (let key = 0; key < 1000; key++) {
    ask(store, only, `later-${key}`, startMs + 120_000);
  }
  assert.equal(told.length, 2);
});

test('a quota that no policy defined has its share, too', () => {
  const { store } = simulate({ maxBuckets: 1000 });
  forge(store, requestsOf('a/p/q'), 2000);
  assert(forge(store, requestsOf('b/p/q'), 2000) >= 250);
});

const once = quota('TotalTokens', 1000, { id: 'default/p/once', window: lifetime });
const monthly = quota('TotalTokens', 1000, { id: 'default/p/monthly', window: month });
const other = requestsOf('default/p/other', { window: minute });

function spend(store: MemoryStore, of: Quota, tokens: number): void {
  const { hold } = granted(reserve(store, demand([bucket(of)], startMs, tokens)));
  settle(store, hold, charge(tokens, 0), startMs);
}

/** Each new key sweeps a few old ones. */
function newKeys(store: MemoryStore, atMs: number): void {
  for (let key = 0; key < 20; key++) {
    ask(store, other, `new-${key}-${atMs}`, atMs);
  }
}

const spent = (store: MemoryStore, of: Quota, atMs: number) =>
  1000 - (store.snapshot([bucket(of)], atMs)[0]?.remaining ?? 0);

test('a lifetime budget of a removed quota is kept for the grace period', () => {
  const { store } = simulate();
  define(store, [once, other], startMs);
  spend(store, once, 400);
  define(store, [other], startMs);
  const withinMs = startMs + REMOVED_GRACE_MS - 1;
  newKeys(store, withinMs);
  assert.equal(spent(store, once, withinMs), 400);
  // The quota returns, as after a mistaken rename: nothing was reset, and the grace period
  // restarts.
  define(store, [{ ...once }, other], withinMs);
  newKeys(store, startMs + 3 * REMOVED_GRACE_MS);
  assert.equal(spent(store, once, startMs + 3 * REMOVED_GRACE_MS), 400);
  define(store, [other], startMs + 3 * REMOVED_GRACE_MS);
  newKeys(store, startMs + 4 * REMOVED_GRACE_MS);
  assert.deepEqual(
    store.keys(10).map((keys) => keys.quota),
    [other.id],
  );
});

test('an open hold keeps the budget of a removed quota', () => {
  const { store } = simulate();
  define(store, [once, other], startMs);
  const { hold } = granted(reserve(store, demand([bucket(once)], startMs, 100)));
  define(store, [other], startMs);
  newKeys(store, startMs + 2 * REMOVED_GRACE_MS);
  settle(store, hold, charge(90, 0), startMs + 2 * REMOVED_GRACE_MS);
  assert.equal(spent(store, once, startMs + 2 * REMOVED_GRACE_MS), 90);
});

test('a clock that was ahead at the removal does not keep a budget forever', () => {
  const { store } = simulate();
  define(store, [once, other], startMs);
  spend(store, once, 400);
  define(store, [other], startMs + 365 * 86_400_000);
  define(store, [other], startMs);
  newKeys(store, startMs + REMOVED_GRACE_MS);
  assert.equal(spent(store, once, startMs + REMOVED_GRACE_MS), 0);
});

test('the definition of the policy in force applies, even if it was replaced before', () => {
  const { store } = simulate();
  const lower = { ...once, limit: { type: 'TotalTokens', amount: 500 } } as const;
  for (const [of, free] of [
    [once, 600],
    [lower, 100],
    [once, 600],
  ] as const) {
    define(store, [of], startMs);
    if (of === once && free === 600 && counts(store).buckets === 0) {
      spend(store, once, 400);
    }
    assert.equal(store.snapshot([bucket(once)], startMs)[0]?.remaining, free);
  }
});

const folder = mkdtempSync(join(tmpdir(), 'directory-'));
after(() => rmSync(folder, { recursive: true }));

test('the grace period continues over restarts, and a calendar window ends at its own time', () => {
  const path = join(folder, 'quota.sqlite');
  const open = (nowMs: number, more: StoreOptions = {}) =>
    openQuotaStore({ path, foldEveryMs: 0, nowMs: () => nowMs, ...more }).store;
  const first = open(startMs);
  define(first, [once, monthly], startMs);
  spend(first, once, 400);
  spend(first, monthly, 300);
  define(first, [], startMs);
  first.close();
  for (let restart = 1; restart < 4; restart++) {
    const atMs = startMs + (restart * REMOVED_GRACE_MS) / 4;
    const next = open(atMs);
    define(next, [], atMs);
    assert.equal(spent(next, once, atMs), 400);
    next.close();
  }
  const last = open(startMs + REMOVED_GRACE_MS);
  assert.equal(spent(last, once, startMs + REMOVED_GRACE_MS), 0);
  assert.equal(spent(last, monthly, startMs + REMOVED_GRACE_MS), 300);
  last.close();
});
