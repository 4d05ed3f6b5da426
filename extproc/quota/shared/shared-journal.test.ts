import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { memoryDefaults } from '../memory-options.ts';
import { openQuotaStore } from '../open.ts';
import { bucket, demand, granted, quota, settle, startMs } from '../testing.ts';
import { MemoryAllowances } from './memory-allowances.ts';
import { SharedQuotaStore } from './shared-quota-store.ts';

test('a restart charges nothing of shared windows again, and keeps the records of usage', () => {
  const folder = mkdtempSync(join(tmpdir(), 'quota-'));
  try {
    const tokens = quota('TotalTokens', 10_000);
    const open = (path: string) => openQuotaStore({ path, nowMs: () => startMs, foldEveryMs: 0 });
    const first = open(join(folder, 'first', 'quota.sqlite'));
    const options = { ...memoryDefaults, newId: () => 'id', steadyMs: () => 0, onStoreState: () => {} };
    const store = new SharedQuotaStore({ ...options, schedule: () => () => {} }, first.store);
    store.define([tokens], { epoch: 1, counter: 1 }, startMs);
    store.useAllowances(new MemoryAllowances(() => startMs));
    const ask = () => {
      let decision: Parameters<Parameters<typeof store.reserve>[1]>[0] | undefined;
      store.reserve(demand([bucket(tokens)], startMs, 100), (answer) => {
        decision = answer;
      });
      return granted(decision).hold;
    };
    settle(first.store, ask(), { inputTokens: 80, outputTokens: 0, cause: 'in_flight' }, startMs);
    ask();
    store.flush();
    // The state of the disk is what a crash leaves.
    cpSync(join(folder, 'first'), join(folder, 'second'), { recursive: true });
    store.close();
    const second = open(join(folder, 'second', 'quota.sqlite'));
    assert.equal(second.recovered.holds, 1, 'the hold leaves a record');
    assert.deepEqual([...second.recovered.charged], []);
    assert.equal(second.store.snapshot([bucket(tokens)], startMs)[0]?.remaining, 10_000);
    second.store.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
});
