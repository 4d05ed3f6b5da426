import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MemoryStore } from './memory.ts';
import { openQuotaStore } from './open.ts';
import type { Decision } from './store.ts';
import { bucket, charge, demand, lease, lifetime, quota, reserve, settle } from './testing.ts';

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

const ask = (store: MemoryStore, of: typeof closed, tokens: number): Decision | undefined => {
  const decision = reserve(store, demand([bucket(of)], Date.now(), tokens, lease(10)));
  store.flush();
  return decision;
};

/**
 * The child process is this file, in its own mount namespace with a small file system.
 */
const child = 'TALLYGATE_TEST_FULL_DISK';
const folder = process.env[child];

/** Returns a file system with room for a new journal and little more. */
async function fill(disk: string): Promise<void> {
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=600k', 'tmpfs', disk]);
  assert.equal(mounted.status, 0, String(mounted.stderr));
  const said: string[] = [];
  const { store } = openQuotaStore({
    path: join(disk, 'quota.sqlite'),
    foldEveryMs: 20,
    onTrouble: (error) => said.push(String(error)),
    onRecovery: () => said.push('recovered'),
  });
  let spent = 0;
  const spend = (of: typeof closed, tokens: number) => {
    const decision = ask(store, of, tokens);
    if (decision?.type !== 'granted') {
      return decision;
    }
    settle(store, decision.hold, charge(tokens, tokens), Date.now());
    spent += tokens * (of === closed ? 2 : 1);
    store.flush();
    return decision;
  };
  spend(closed, 1000);
  const filler = join(disk, 'filler');
  assert.throws(() => writeFileSync(filler, Buffer.alloc(1_000_000)), /ENOSPC/);
  let before = 0;
  while (spend(closed, 10)?.type === 'granted') {
    before++;
    assert(before < 5_000, 'the store goes on although the disk is full');
    if (before % 50 === 0) {
      await sleep(5);
    }
  }
  for (let count = 0; count < 500; count++) {
    const refused = spend(closed, 10);
    assert(refused?.type === 'refused' && refused.reason === 'journal', `${count}`);
    assert.equal(spend(open, 3)?.type, 'granted');
  }
  assert.match(store.journalFailure ?? '', /ENOSPC/);
  rmSync(filler);
  await until(() => store.journalFailure === undefined);
  assert.equal(spend(closed, 10)?.type, 'granted');
  assert(said.includes('recovered') && said.some((line) => line.includes('ENOSPC')), said.join('\n'));
  // As after a kill: another process opens the files as they are now.
  const copy = join(disk, 'copy');
  mkdirSync(copy);
  for (const name of readdirJournal(disk)) {
    cpSync(join(disk, name), join(copy, name));
  }
  const again = openQuotaStore({ path: join(copy, 'quota.sqlite'), foldEveryMs: 0 }).store;
  const remembered = again.top(10, Date.now()).reduce((sum, state) => sum + state.spent, 0);
  assert(remembered >= spent, `${remembered} of ${spent}`);
  process.stdout.write(JSON.stringify({ grantedUntilFull: before, spent, remembered }));
  process.exit(0);
}

function readdirJournal(disk: string): readonly string[] {
  return readdirSync(disk).filter((name) => name.startsWith('quota.sqlite') && !name.endsWith('.lock'));
}

if (folder !== undefined) {
  await fill(folder);
} else {
  const canMount = process.getuid?.() === 0 && spawnSync('unshare', ['-m', 'true']).status === 0;
  test('a real full file system', {
    skip: canMount ? false : 'needs root and unshare to mount a small file system',
    timeout: 60_000,
  }, (t) => {
    const disk = mkdtempSync(join(tmpdir(), 'full-disk-'));
    try {
      const ran = spawnSync('unshare', ['-m', '--', process.execPath, import.meta.filename], {
        encoding: 'utf8',
        env: { ...process.env, [child]: disk, NODE_TEST_CONTEXT: undefined },
      });
      assert.equal(ran.status, 0, ran.stderr);
      t.diagnostic(ran.stdout);
    } finally {
      rmSync(disk, { recursive: true });
    }
  });
}
