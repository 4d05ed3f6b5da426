import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, renameSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { POLICY_FORMAT_VERSION } from '../contract/policy.ts';

const launcher = fileURLToPath(new URL('bin.cjs', import.meta.url));

function tallygate(args: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [launcher, ...args], {
    encoding: 'utf8',
    env: environment,
  });
  return { status, stdout, stderr };
}

test('help exits with 0, and wrong usage exits with 2 and the usage', () => {
  const help = tallygate(['--help']);
  assert.equal(help.status, 0);
  assert.match(
    help.stdout,
    /run .*\n.*check .*\n.*doctor .*\n.*quota .*\n.*usage .*\n.*explain .*\n.*top .*\n.*tail .*\n.*simulate .*\n.*convert .*\n.*prices .*\n.*key .*\n.*login .*\n.*token .*\n.*logout .*\n.*extproc .*\n(.*\n)*.*version /,
  );
  assert.match(tallygate(['run', '--help']).stdout, /^Usage: tallygate run /);
  assert.match(tallygate(['version']).stdout, /^tallygate \d+\.\d+\.\d+ /);
  for (const wrong of [
    ['runn'],
    ['run', '--nmae', 'x'],
    ['run', '--name', '../x'],
    ['run', '--concurrency', '0'],
    ['extproc'],
    ['extproc', '--policy', 'p', '--controller', 'c:1', '--socket', 's'],
    ['extproc', '--policy', 'p', '--token', 't', '--socket', 's'],
    ['extproc', '--controller', 'c:1', '--socket', 's'],
    ['extproc', '--controller', 'nowhere', '--token', 't', '--ca', 'c', '--socket', 's'],
    ['extproc', '--controller', 'c:1', '--token', 't', '--ca', 'c', '--listen', '127.0.0.1:1'],
  ]) {
    const { status, stderr, stdout } = tallygate(wrong);
    assert.equal(status, 2, wrong.join(' '));
    assert.match(stderr, /Usage: /);
    assert.equal(stdout, '');
  }
});

test('all wrong variables are reported with their fixes', () => {
  const { status, stderr } = tallygate(['version'], { TALLYGATE_LOG_LEVEL: 'loud', TALLYGATE_CONCURRENCY: 'many' });
  assert.equal(status, 2);
  assert.equal(stderr.trim().split('\n').length, 2);
  assert.match(stderr, /TALLYGATE_LOG_LEVEL must be one of .*; correct it or unset it/);
});

const policy = (version: string, formatVersion = POLICY_FORMAT_VERSION) =>
  JSON.stringify({ policy: { formatVersion, version, lines: 0 } });

test('extproc follows its policy file, keeps the last good policy, and shuts down in order', {
  timeout: 30_000,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'extproc-'));
  const path = join(folder, 'policy.json');
  const exchange = (text: string) => {
    writeFileSync(`${path}.new`, text);
    renameSync(`${path}.new`, path);
  };
  const admin = join(folder, 'admin.sock');
  const child = spawn(
    process.execPath,
    [launcher, 'extproc', '--policy', path, '--socket', join(folder, 's'), '--metrics', `unix:${admin}`],
    { stdio: 'ignore' },
  );
  t.after(() => child.kill('SIGKILL'));
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const ask = (path: string) =>
    new Promise<{ readonly code: number | undefined; readonly text: string } | undefined>((resolve) => {
      const asked = request({ socketPath: admin, path }, async (response) => {
        response.setEncoding('utf8');
        resolve({ code: response.statusCode, text: (await response.toArray()).join('') });
      });
      asked.on('error', () => resolve(undefined));
      asked.end();
    });
  const status = async (): Promise<Record<string, unknown>> => {
    const answer = await ask('/readyz');
    return answer === undefined ? {} : { code: answer.code, ...JSON.parse(answer.text) };
  };
  const refusedGauge = async () =>
    /^tallygate_policy_refused(?:{.*})? (\d+)$/m.exec((await ask('/metrics'))!.text)?.[1];
  const until = async (wanted: object) => {
    for (;;) {
      t.signal.throwIfAborted();
      const now = await status();
      if (Object.entries(wanted).every(([name, value]) => now[name] === value)) {
        return;
      }
      await sleep(20);
    }
  };
  // Alive, but not ready before it has a policy.
  await until({ code: 503, ready: false });
  exchange(policy('one'));
  await until({ code: 200, ready: true, policy: 'one' });
  assert.equal(await refusedGauge(), '0');
  exchange(policy('two', 99));
  await until({ ready: true, policy: 'one', refused: 'two' });
  assert.equal(await refusedGauge(), '1');
  exchange('{"half":');
  await until({ ready: true, policy: 'one', refused: '' });
  exchange(policy('three'));
  await until({ ready: true, policy: 'three', refused: undefined });
  assert.equal(await refusedGauge(), '0');
  child.kill('SIGTERM');
  assert.equal(await ended, 0);
});
