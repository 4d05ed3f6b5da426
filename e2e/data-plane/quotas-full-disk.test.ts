/**
 * The disk of the state folder fills up: token quotas refuse with a clear error, a quota that fails
 * open continues, and both recover when there is room.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { it } from 'node:test';
import { startGateway } from './support/gateway.ts';
import { chat, limitedRoute, usedBy } from './support/limits.ts';
import { startProvider } from './support/provider.ts';
import { teamQuota } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { backends } from './support/world.ts';

const LIMIT = 100_000;
/** Room for Envoy's files and a young journal. */
const DISK = '24m';
/**
 * This file runs itself in a separate mount namespace, so that the small disk is private and ends
 * with it.
 */
const INSIDE = 'TALLYGATE_TEST_SMALL_DISK';

const inside = process.env[INSIDE] !== undefined;
const canMount = process.getuid?.() === 0 && spawnSync('unshare', ['-m', 'true']).status === 0;

it('a full disk refuses token quotas with onJournalLoss FailClosed until there is space', {
  skip: canMount ? false : 'needs root and unshare to mount a small disk',
  timeout: 90_000,
}, async (t) => {
  if (!inside) {
    const ran = spawnSync('unshare', ['-m', '--', process.execPath, import.meta.filename], {
      stdio: 'inherit',
      env: { ...process.env, [INSIDE]: 'yes', NODE_TEST_CONTEXT: undefined },
    });
    assert.equal(ran.status, 0);
    return;
  }
  // The mount ends with its namespace; the folder below it stays empty.
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tallygate-disk-'));
  assert.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK}`, 'tmpfs', folder]).status, 0);
  const provider = await startProvider();
  const gateway = await startGateway(
    [
      ...backends(provider.port),
      ...limitedRoute({
        closed: { quotas: [teamQuota('tokens', 'TotalTokens', LIMIT)] },
        open: { quotas: [teamQuota('tokens', 'TotalTokens', LIMIT, { onJournalLoss: 'FailOpen' })] },
      }),
    ],
    { folder },
  );
  const world = { provider, gateway, stop: () => gateway.stop() };
  t.after(async () => {
    await gateway.stop();
    await provider.stop();
  });
  const ask = (model: string) =>
    chat(world, model, { team: 'red', body: { max_completion_tokens: 20 }, mock: { tokens: 20 } });
  assert.equal((await ask('closed')).status, 200);

  const filler = path.join(folder, 'filler');
  assert.throws(() => writeFileSync(filler, Buffer.alloc(64 * 1024 * 1024)), /ENOSPC/);
  const refused = await waitFor(
    'a refusal',
    async () => {
      const answer = await ask('closed');
      return answer.status === 200 ? undefined : answer;
    },
    20_000,
  );
  assert.equal(refused.status, 503);
  assert.equal(refused.json.error.code, 'journal_unavailable');
  assert.equal((await ask('closed')).status, 503, 'each of them, from then on');
  const spent = usedBy(await ask('open'));
  assert.ok(usedBy(await ask('open')) > spent, 'continues and counts');

  rmSync(filler);
  const answer = await waitFor(
    'recovery',
    async () => {
      const again = await ask('closed');
      return again.status === 200 ? again : undefined;
    },
    20_000,
  );
  assert.ok(usedBy(answer) > 0);
});
