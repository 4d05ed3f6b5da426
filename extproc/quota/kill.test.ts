import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { openQuotaStore } from './open.ts';
import { bucket, charge, demand, granted, lease, lifetime, quota, reserve, settle } from './testing.ts';

/**
 * The child process is this file. It grants and settles, and reports only what it has flushed, as a
 * gateway sends only what a journaled hold covers.
 */
const child = 'TALLYGATE_TEST_KILLED_CHILD';
const teams = ['a', 'b', 'c'];
const budget = quota('TotalTokens', 1e9, { window: lifetime });

function work(path: string): void {
  const { store } = openQuotaStore({ path });
  const sent: Record<string, number> = { a: 0, b: 0, c: 0 };
  const open: { readonly team: string; readonly hold: ReturnType<typeof granted>['hold'] }[] = [];
  const tick = () => {
    for (let count = 0; count < 20; count++) {
      const team = teams[count % 3]!;
      const asked = demand([bucket(budget, team)], Date.now(), 10 + count, lease(100));
      open.push({ team, hold: granted(reserve(store, asked)).hold });
      sent[team] = (sent[team] ?? 0) + 10 + count;
      const settled = open.length > 50 ? open.shift() : undefined;
      if (settled !== undefined) {
        settle(store, settled.hold, charge(30, 70), Date.now());
      }
    }
    store.flush();
    // A charge is at least the input that was sent, so these sums must survive.
    process.stdout.write(`${JSON.stringify(sent)}\n`, () => setImmediate(tick));
  };
  tick();
}

async function killedAfter(path: string, milliseconds: number): Promise<Record<string, number>> {
  const worker = spawn(process.execPath, [import.meta.filename], {
    env: { ...process.env, [child]: path },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let last = '';
  const ended = new Promise((resolve) => worker.once('close', resolve));
  for await (const line of createInterface({ input: worker.stdout })) {
    if (last === '') {
      setTimeout(() => worker.kill('SIGKILL'), milliseconds);
    }
    last = line;
  }
  await ended;
  assert.equal(worker.signalCode, 'SIGKILL');
  return JSON.parse(last) as Record<string, number>;
}

const path = process.env[child];
if (path !== undefined) {
  work(path);
} else {
  test('kill -9 loses nothing that was flushed, and open holds are charged in full', { timeout: 60_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'kill-'));
    try {
      const file = join(folder, 'quota.sqlite');
      const before: Record<string, number> = { a: 0, b: 0, c: 0 };
      // Before the first fold, and during one.
      for (const milliseconds of [1, 300, 900]) {
        const sent = await killedAfter(file, milliseconds);
        const { store, recovered } = openQuotaStore({ path: file, foldEveryMs: 0 });
        assert(recovered.holds >= 20 && recovered.holds <= 71, `${recovered.holds} holds`);
        for (const state of store.top(10, Date.now())) {
          const [team] = state.bucket.values;
          assert(team !== undefined);
          assert.equal(state.held, 0);
          assert(
            state.spent >= (before[team] ?? 0) + (sent[team] ?? 0),
            `${team}: ${state.spent} after ${milliseconds} ms`,
          );
          before[team] = state.spent;
        }
        store.close();
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}
