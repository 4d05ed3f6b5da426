import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { journalDefaults, LogJournal } from './journal.ts';
import { MemoryStore } from './memory.ts';
import { memoryDefaults } from './memory-options.ts';
import type { Decision } from './store.ts';
import { bucket, charge, demand, extend, granted, lease, lifetime, quota, reserve, settle } from './testing.ts';

const closed = quota('TotalTokens', 1e9, { window: lifetime });
const open = quota('OutputTokens', 1e9, { window: lifetime, onJournalLoss: 'FailOpen' });

/** Waits without sending requests: recovery must not need one. */
async function until(holds: () => boolean): Promise<void> {
  const giveUpMs = performance.now() + 10_000;
  while (!holds()) {
    assert(performance.now() < giveUpMs, 'timed out');
    await sleep(5);
  }
}

/** A disk whose fault can be switched on, and the lines that were written. */
function faultyDisk() {
  const lines: string[] = [];
  const said: string[] = [];
  let fault: string | undefined;
  const journal = new LogJournal({
    ...journalDefaults,
    onTrouble: (error) => said.push(String(error)),
    onRecovery: () => said.push('recovered'),
  });
  journal.start({
    append(bytes) {
      if (fault !== undefined) {
        throw Object.assign(new Error(`${fault}: write`), { code: fault });
      }
      lines.push(Buffer.from(bytes).toString());
    },
    close() {},
    takesUsage: true,
  });
  const store = new MemoryStore(memoryDefaults, journal);
  const setFault = (code: string | undefined) => {
    fault = code;
  };
  return { store, lines, said, setFault };
}

const ask = (store: MemoryStore, of: typeof closed, tokens: number): Decision | undefined => {
  const decision = reserve(store, demand([bucket(of)], Date.now(), tokens, lease(10)));
  store.flush();
  return decision;
};

for (const code of ['ENOSPC', 'EIO', 'EROFS']) {
  test(`${code}: fail-closed quotas refuse at once, fail-open quotas grant, and nothing is forgotten`, async () => {
    const { store, lines, said, setFault } = faultyDisk();
    const early = granted(ask(store, closed, 100));
    const earlyOpen = granted(ask(store, open, 100));
    assert.equal(store.journalFailure, undefined);
    setFault(code);
    // The write of this grant detects the fault.
    const finder = granted(ask(store, closed, 1000));
    assert.match(store.journalFailure ?? '', new RegExp(code));
    const refused = ask(store, closed, 100);
    assert(refused?.type === 'refused' && refused.reason === 'journal');
    assert.equal(refused.bucket.quota.id, closed.id);
    assert(refused.retryAfterMs !== undefined && refused.retryAfterMs <= 1000);
    const both = reserve(store, demand([bucket(open), bucket(closed)], Date.now(), 5));
    assert(both?.type === 'refused' && both.reason === 'journal', 'one of several is enough');
    const shadow = quota('InputTokens', 1e9, { mode: 'Shadow' });
    assert.equal(ask(store, shadow, 5)?.type, 'granted', 'Shadow refuses nothing');
    assert.equal(extend(store, early.hold, lease(50), Date.now()), 0, 'a stream ends with what it holds');
    assert.equal(extend(store, earlyOpen.hold, lease(50), Date.now()), 50);
    const meanwhile = granted(ask(store, open, 7));
    settle(store, meanwhile.hold, charge(0, 7), Date.now());
    settle(store, early.hold, charge(100, 3), Date.now());
    settle(store, finder.hold, charge(900, 0), Date.now());
    settle(store, earlyOpen.hold, charge(0, 60), Date.now());
    store.flush();
    const before = lines.length;
    setFault(undefined);
    await until(() => store.journalFailure === undefined);
    assert.deepEqual(said.slice(-1), ['recovered']);
    assert.match(said[0] ?? '', new RegExp(code));
    const written = lines.slice(before).join('');
    assert.match(written, /"w",\d+,1003,0,0/, 'charged meanwhile');
    assert.match(written, /"w",\d+,67,0,0/);
    assert.equal(ask(store, closed, 100)?.type, 'granted');
    store.close();
  });
}

test('a failure ends even if nothing is left to write', async () => {
  const { store, setFault } = faultyDisk();
  setFault('ENOSPC');
  ask(store, quota('Requests', 5), 0);
  setFault(undefined);
  await until(() => store.journalFailure === undefined);
  store.close();
});
