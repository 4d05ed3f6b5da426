import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { MemoryStore } from './memory.ts';
import { openQuotaStore } from './open.ts';
import type { BudgetAlert } from './store.ts';
import {
  bucket,
  charge,
  demand,
  granted,
  hour,
  quota,
  reserve,
  settle,
  simulate,
  slidingMinute,
  startMs,
} from './testing.ts';

const HOUR_MS = 3_600_000;

function spend(store: MemoryStore, of: ReturnType<typeof quota>, tokens: number, atMs: number, team = 'a'): void {
  const { hold } = granted(reserve(store, demand([bucket(of, team)], atMs, tokens)));
  settle(store, hold, charge(tokens, 0), atMs);
}

function collecting() {
  const alerts: string[] = [];
  const onAlert = ({ bucket: { values }, percent, spent, limit }: BudgetAlert) => {
    alerts.push(`${values.join()} ${percent}%: ${spent} of ${limit}`);
  };
  return { alerts, onAlert };
}

test('each threshold is reported once per key and window', () => {
  const { alerts, onAlert } = collecting();
  const { store } = simulate({ onAlert });
  const of = quota('TotalTokens', 100, { window: hour, alertAt: [50, 80, 100] });
  for (const tokens of [49, 1, 10]) {
    spend(store, of, tokens, startMs);
  }
  assert.deepEqual(alerts.splice(0), ['a 50%: 50 of 100']);
  spend(store, of, 40, startMs);
  spend(store, of, 60, startMs, 'b');
  assert.deepEqual(alerts.splice(0), ['a 80%: 100 of 100', 'a 100%: 100 of 100', 'b 50%: 60 of 100']);
  spend(store, of, 50, startMs + HOUR_MS);
  assert.deepEqual(alerts, ['a 50%: 50 of 100']);
});

test('a hold is no reason for an alert, and a request that is charged at admission is', () => {
  const { alerts, onAlert } = collecting();
  const { store } = simulate({ onAlert });
  granted(reserve(store, demand([bucket(quota('TotalTokens', 100, { alertAt: [50] }))], startMs, 90)));
  assert.deepEqual(alerts, []);
  granted(reserve(store, demand([bucket(quota('Requests', 2, { alertAt: [50] }))], startMs, 90)));
  assert.deepEqual(alerts, ['a 50%: 1 of 2']);
});

test('a sliding window reports a threshold again only after its length', () => {
  const { alerts, onAlert } = collecting();
  const { store } = simulate({ onAlert });
  const of = quota('TotalTokens', 100, { window: slidingMinute, alertAt: [50] });
  spend(store, of, 30, startMs);
  spend(store, of, 30, startMs + 30_000);
  assert.equal(alerts.length, 1);
  spend(store, of, 30, startMs + 65_000);
  assert.equal(alerts.length, 1);
  spend(store, of, 60, startMs + 200_000);
  assert.equal(alerts.length, 2);
});

test('a restart repeats no alert, and raises those that recovered holds reach', () => {
  const folder = mkdtempSync(join(tmpdir(), 'alerts-'));
  try {
    const of = quota('TotalTokens', 100, { window: hour, alertAt: [50, 80] });
    const { alerts, onAlert } = collecting();
    const open = () => openQuotaStore({ path: join(folder, 'quota.sqlite'), nowMs: () => startMs, onAlert }).store;
    const first = open();
    spend(first, of, 60, startMs);
    granted(reserve(first, demand([bucket(of)], startMs, 25)));
    first.flush();
    first.close();
    assert.deepEqual(alerts.splice(0), ['a 50%: 60 of 100']);
    const second = open();
    spend(second, of, 1, startMs);
    second.close();
    assert.deepEqual(alerts, ['a 80%: 85 of 100']);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
