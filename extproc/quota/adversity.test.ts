import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { journalDefaults, LogJournal } from './journal.ts';
import { JournalBatch } from './journal-record.ts';
import { MemoryStore } from './memory.ts';
import { type MemoryOptions, memoryDefaults } from './memory-options.ts';
import { openQuotaStore } from './open.ts';
import type { Hold } from './store.ts';
import { bucket, charge, demand, lease, lifetime, quota, reserve, settle, slidingMinute, startMs } from './testing.ts';

const folder = mkdtempSync(join(tmpdir(), 'adversity-'));
after(() => rmSync(folder, { recursive: true }));
let runs = 0;

/** A quota store whose journal can be made to fail, and what was written as bytes. */
function world(options: Partial<MemoryOptions> = {}) {
  const written: Buffer[] = [];
  const disk = { isFull: false };
  const journal = new LogJournal({ ...journalDefaults, settlementDelayMs: 0, onTrouble: () => {} });
  journal.start({
    append(bytes) {
      if (disk.isFull) {
        throw new Error('ENOSPC');
      }
      written.push(Buffer.from(bytes));
    },
    close() {},
    takesUsage: true,
  });
  const store = new MemoryStore({ ...memoryDefaults, ...options }, journal);
  return { store, disk, log: () => Buffer.concat(written) };
}

const closed = quota('TotalTokens', 5_000, { id: 'default/p/closed', window: lifetime });
const open = quota('InputTokens', 5_000, { id: 'default/p/open', window: lifetime, onJournalLoss: 'FailOpen' });
const refs = ['a', 'b'].flatMap((team) => [bucket(closed, team), bucket(open, team)]);

const work = fc.record({ nth: fc.nat(3), input: fc.nat(60), output: fc.nat(40), settles: fc.boolean() });
type Work = typeof work extends fc.Arbitrary<infer T> ? T : never;

test('a full disk: fail-closed quotas grant nothing, and after recovery the journal equals the store', () => {
  const step = fc.oneof(
    { weight: 10, arbitrary: work.map((one) => ({ type: 'work', ...one }) as const) },
    { weight: 1, arbitrary: fc.boolean().map((isFull) => ({ type: 'disk', isFull }) as const) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
      const { store, disk, log } = world();
      const holds: Hold[] = [];
      const spent = new Map(refs.map(({ key }) => [key, 0]));
      for (const taken of steps) {
        if (taken.type === 'disk') {
          disk.isFull = taken.isFull;
          continue;
        }
        const ref = refs[taken.nth]!;
        const fails = store.journalFailure !== undefined;
        const decision = reserve(store, demand([ref], startMs, taken.input, lease(taken.output + 1)));
        if (decision?.type === 'granted') {
          assert(!fails || ref.quota === open);
          if (taken.settles) {
            settle(store, decision.hold, charge(taken.input, taken.output), startMs);
            const cost = taken.input + (ref.quota === closed ? taken.output : 0);
            spent.set(ref.key, spent.get(ref.key)! + cost);
          } else {
            holds.push(decision.hold);
          }
        }
        store.flush();
      }
      for (const hold of holds) {
        settle(store, hold, charge(0, 0), startMs);
      }
      disk.isFull = false;
      store.close();
      const journaled = new Map(refs.map(({ key }) => [key, 0]));
      const batch = new JournalBatch();
      for (const line of log().toString().split('\n').filter(Boolean)) {
        assert(batch.add(Buffer.from(line)));
      }
      for (const window of batch.windows.values()) {
        if (window?.identity) {
          journaled.set(window.identity.key, window.sums?.[0] ?? 0);
        }
      }
      assert.deepEqual(journaled, spent);
      assert(!batch.holds.all().some(({ parts }) => parts !== undefined));
    }),
    { numRuns: 60 },
  );
});

test('a damaged log: the start never fails, and the loss is reported', () => {
  const harm = fc.record({
    at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    // Only the checksum detects one digit replaced by another.
    byte: fc.oneof(fc.nat(255), fc.integer({ min: 48, max: 57 })),
  });
  fc.assert(
    fc.property(
      fc.array(work, { minLength: 1, maxLength: 30 }),
      fc.array(harm, { maxLength: 20, size: 'max' }),
      (works: readonly Work[], harms) => {
        const { store, log } = world();
        const spent = new Map<string, number>();
        for (const { nth, input, output } of works) {
          const decision = reserve(store, demand([refs[nth]!], startMs, input, lease(output + 1)));
          if (decision?.type !== 'granted') {
            continue;
          }
          store.flush();
          settle(store, decision.hold, charge(input, 0), startMs);
          spent.set(refs[nth]!.key, (spent.get(refs[nth]!.key) ?? 0) + input);
          store.flush();
        }
        store.close();
        const bytes = log();
        for (const { at, byte } of harms) {
          bytes[Math.floor(at * bytes.length)] = byte;
        }
        const path = join(folder, `${++runs}.sqlite`);
        writeFileSync(`${path}.log-1`, bytes);
        let lost = 0;
        const again = openQuotaStore({
          path,
          foldEveryMs: 0,
          nowMs: () => startMs,
          onDamage: (damage) => {
            lost += damage.linesLost + damage.windowsLost + damage.cutBytes;
          },
        }).store;
        const remembered = refs.map((ref) => ref.quota.limit.amount - again.snapshot([ref], startMs)[0]!.remaining);
        again.close();
        if (lost === 0) {
          assert.deepEqual(
            remembered,
            refs.map(({ key }) => spent.get(key) ?? 0),
          );
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('a clock that was ahead blocks no sliding window and resets no lifetime budget', () => {
  const step = fc.record({
    input: fc.nat(60),
    passMs: fc.nat(40_000),
    aheadMs: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 400 * 86_400_000 })),
    restarts: fc.integer({ min: 0, max: 9 }).map((dice) => dice === 0),
  });
  const sliding = quota('TotalTokens', 300, { id: 'default/p/sliding', window: slidingMinute });
  const life = quota('TotalTokens', 1e6, { id: 'default/p/life', window: lifetime });
  const both = [bucket(sliding), bucket(life)];
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40, size: 'max' }), (steps) => {
      const path = steps.some(({ restarts }) => restarts) ? join(folder, `${++runs}.sqlite`) : undefined;
      let nowMs = startMs;
      const start = () =>
        openQuotaStore({ ...(path !== undefined && { path }), foldEveryMs: 0, nowMs: () => nowMs }).store;
      let store = start();
      const charged: { readonly atMs: number; readonly tokens: number }[] = [];
      for (const { input, passMs, aheadMs, restarts } of steps) {
        nowMs += passMs;
        const atMs = nowMs + aheadMs;
        const decision = reserve(store, demand(both, atMs, input));
        if (decision?.type === 'granted') {
          settle(store, decision.hold, charge(input, 0), atMs);
          charged.push({ atMs, tokens: input });
        }
        store.flush();
        if (restarts) {
          store.close();
          store = start();
        }
        const [left, lifeLeft] = store.snapshot(both, nowMs);
        const sum = (since: number, until: number) =>
          charged.reduce((total, one) => total + (one.atMs > since && one.atMs <= until ? one.tokens : 0), 0);
        // Only charges by a clock within one window of now are known to belong here.
        if (charged.every((one) => one.atMs <= nowMs)) {
          assert(left!.remaining <= 300 - sum(nowMs - 60_000, nowMs));
        }
        assert.equal(lifeLeft!.remaining, 1e6 - sum(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY));
      }
      nowMs += 2 * 60_000 + 1_000;
      assert.equal(store.snapshot(both, nowMs)[0]?.remaining, 300, 'the whole limit is available two windows later');
      store.close();
    }),
    { numRuns: 60 },
  );
});
