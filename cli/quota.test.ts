import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { POLICY_FORMAT_VERSION } from '../contract/policy.ts';
import { policyText } from '../contract/policy-text.ts';
import { openQuotaStore } from '../extproc/quota/open.ts';
import { bucket, charge, demand, granted, lifetime, quota, reserve, settle } from '../extproc/quota/testing.ts';

const main = fileURLToPath(new URL('main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'quota-cli-'));
const journal = join(folder, 'journal.db');
const socket = join(folder, 'quota.sock');
const policyPath = join(folder, 'policy.json');
const children: ChildProcess[] = [];
after(() => {
  for (const child of children) {
    child.kill('SIGKILL');
  }
  rmSync(folder, { recursive: true });
});

const total = quota('TotalTokens', 1000, { id: 'default/teams/once', window: lifetime });
const other = quota('InputTokens', 50, {
  id: 'default/teams/other',
  window: { type: 'Sliding', durationMs: 86_400_000 },
});

async function tallygate(...args: readonly string[]) {
  const child = spawn(process.execPath, [main, 'quota', ...args], {
    env: { ...process.env, XDG_STATE_HOME: join(folder, 'state'), XDG_RUNTIME_DIR: folder },
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => (stdout += text));
  child.stderr.on('data', (text) => (stderr += text));
  const [code] = await once(child, 'close');
  return { code, stdout, stderr };
}

/** Starts an extproc with a journal of earlier usage; resolves when its socket answers. */
async function start() {
  const child = spawn(
    process.execPath,
    [
      main,
      'extproc',
      '--policy',
      policyPath,
      '--socket',
      join(folder, 's'),
      '--journal',
      journal,
      '--metrics',
      `unix:${join(folder, 'm')}`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  children.push(child);
  let log = '';
  child.stderr!.setEncoding('utf8').on('data', (text) => (log += text));
  while (!existsSync(socket)) {
    assert.equal(child.exitCode, null, log);
    await sleep(10);
  }
  const kill = async () => {
    child.kill('SIGKILL');
    await once(child, 'close');
    rmSync(socket);
  };
  const stop = async () => {
    child.kill('SIGTERM');
    await once(child, 'close');
    return log;
  };
  return { stop, kill };
}

test('an operator lists and resets budgets, and the log records who did it', {
  timeout: 60_000,
}, async () => {
  const { store } = openQuotaStore({ path: journal });
  const spend = (of: typeof total, team: string, tokens: number) => {
    const { hold } = granted(reserve(store, demand([bucket(of, team)], Date.now(), tokens)));
    settle(store, hold, charge(tokens, 0), Date.now());
  };
  spend(total, 'red', 400);
  spend(total, 'blue', 1000);
  spend(other, 'evil\u001b[2J', 7);
  store.close();
  writeFileSync(
    policyPath,
    policyText({
      formatVersion: POLICY_FORMAT_VERSION,
      version: 'v',
      virtualHosts: [],
      backends: [],
      quotas: [total, other],
      accessPolicies: [],
      apiKeyShards: [],
    }),
  );

  const none = await tallygate('list', '--socket', socket);
  assert.deepEqual([none.code, none.stdout], [1, '']);
  assert.equal(
    none.stderr,
    `tallygate: no gateway runs at ${socket}; start it, or select another one with --name or --socket\n`,
  );
  assert.match(
    (await tallygate('list', '--name', 'absent')).stderr,
    /^tallygate: no gateway runs at .*absent\/quota\.sock/,
  );

  const first = await start();
  assert.equal(statSync(socket).mode & 0o777, 0o600);
  const listed = await tallygate('list', '--socket', socket);
  assert.equal(listed.stderr, '');
  assert.deepEqual(
    listed.stdout
      .split('\n')
      .slice(0, 3)
      .map((line) => line.split(/ +/)),
    [
      ['QUOTA', 'KEY', 'WINDOW', 'SPENT', 'HELD', 'LIMIT', 'RESETS', 'EXHAUSTED'],
      ['default/teams/once', 'blue', 'Lifetime', '1000', '0', '1000', 'never', '-'],
      ['default/teams/once', 'red', 'Lifetime', '400', '0', '1000', 'never', '-'],
    ],
  );
  assert.match(listed.stdout, /evil\\u001b\[2J +86400s +7 +0 +50 +20\d\d-\S+Z +(-|20\d\d-\S+Z)\n$/);
  const json = await tallygate('list', 'default/teams/once', '--key', 'red', '--json', '--socket', socket);
  assert.deepEqual(JSON.parse(json.stdout), {
    quota: 'default/teams/once',
    key: ['red'],
    keyNames: ['Header x-team'],
    window: 'Lifetime',
    spent: 400,
    held: 0,
    limit: 1000,
  });

  const reset = await tallygate('reset', 'default/teams/once', '--key', 'blue', '--socket', socket);
  assert.deepEqual([reset.code, reset.stdout], [0, 'default/teams/once: 1 budget reset, 1000 was spent\n']);
  const again = await tallygate('reset', 'default/teams/once', '--key', 'blue', '--socket', socket);
  assert.deepEqual([again.code, again.stdout], [1, '']);
  assert.match(again.stderr, /^tallygate: no budget of default\/teams\/once with the key blue is in use/);
  const log = await first.stop();
  assert.match(
    log,
    /"quota":"default\/teams\/once","key":\["blue"\],"budgets":1,"spent":1000,"by":"[^"]+","msg":"operator reset budgets"/,
  );

  const second = await start();
  const left = await tallygate('list', '--json', '--socket', socket);
  assert.deepEqual(
    left.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).spent),
    [400, 7],
    'a reset outlives the process',
  );
  const all = await tallygate('reset', 'default/teams/other', '--json', '--socket', socket);
  assert.deepEqual(JSON.parse(all.stdout), { budgets: 1, spent: 7 });
  const ask = (...args: readonly string[]) => tallygate(...args, '--socket', socket);
  const name = 'default/teams/once';
  const granting = await ask('grant', name, '250', '--key', 'red', '--reason', 'launch week', '--by', 'ann');
  assert.equal(granting.stdout, `${name} with the key red: granted 250, the limit of this window is 1250\n`);
  const refused = await ask('grant', name, '0', '--key', 'red');
  assert.deepEqual([refused.code, refused.stdout], [1, '']);
  assert.match(refused.stderr, /the amount 0 must be a whole number above 0/);
  assert.match((await ask('grant', name, '5')).stderr, /needs one --key for each of Header/);
  assert.match((await ask('grant', 'a/b/c', '5')).stderr, /no quota a\/b\/c is in force/);
  await second.kill();
  const third = await start();
  const kept = await ask('list', name, '--key', 'red', '--json');
  assert.equal(JSON.parse(kept.stdout).limit, 1250, 'a grant outlives the process');
  const audit = (await ask('audit', '--json')).stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    audit.map(({ action, quota: id, key, amount, by, reason }) => [action, id, key, amount, by === 'ann', reason]),
    [
      ['reset', name, ['blue'], undefined, false, undefined],
      ['reset', 'default/teams/other', undefined, undefined, false, undefined],
      ['grant', name, ['red'], 250, true, 'launch week'],
    ],
  );
  assert.match((await ask('audit', name)).stdout, /\bann +grant +default\/teams\/once +red +250 +launch week\n$/);
  await third.stop();
});

test('wrong usage exits with 2 and the usage', { timeout: 30_000 }, async () => {
  for (const wrong of [
    [],
    ['show'],
    ['grant'],
    ['grant', 'a/b/c'],
    ['audit', 'a/b/c', '5'],
    ['list', '--reason', 'x'],
    ['reset'],
    ['reset', 'name'],
    ['list', 'a/b/c', 'more'],
    ['list', '--key', 'x'],
  ]) {
    const { code, stderr, stdout } = await tallygate(...wrong);
    assert.deepEqual([code, stdout], [2, ''], wrong.join(' '));
    assert.match(stderr, /Usage: tallygate quota list/);
  }
});
