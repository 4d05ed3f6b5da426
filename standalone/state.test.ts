import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { OperatorError } from './problem.ts';
import { openState } from './state.ts';

const newHome = () => mkdtempSync(join(tmpdir(), 'state-'));

/** Opens the same state in another process, which then ends without a word. */
function elsewhere(stateHome: string): string {
  const script = `import { openState } from ${JSON.stringify(new URL('./state.ts', import.meta.url).href)};
    try { openState({ stateHome: process.argv[1], runtimeHome: undefined, name: 'n' }); console.log('open'); }
    catch (error) { console.log(error.message); }`;
  return spawnSync(process.execPath, ['--input-type=module', '--eval', script, stateHome], {
    encoding: 'utf8',
  }).stdout.trim();
}

test('an instance is one process at a time, and is free again when that ends in whatever way', () => {
  const stateHome = newHome();
  assert.equal(elsewhere(stateHome), 'open');
  const state = openState({ stateHome, runtimeHome: undefined, name: 'n' });
  assert.match(elsewhere(stateHome), new RegExp(`another tallygate named n is running \\(process ${process.pid}\\)`));
  openState({ stateHome, runtimeHome: undefined, name: 'other' }).close();
  state.close();
  assert.equal(elsewhere(stateHome), 'open');
});

test('everything is for its owner only, and keys stay no longer than the run', () => {
  const stateHome = newHome();
  mkdirSync(join(stateHome, 'tallygate', 'n'), { recursive: true, mode: 0o755 });
  const state = openState({ stateHome, runtimeHome: undefined, name: 'n' });
  mkdirSync(state.envoyFolder);
  writeFileSync(join(state.envoyFolder, 'secret'), 'old');
  state.emptyEnvoyFolder();
  assert.deepEqual(readdirSync(state.envoyFolder), []);
  assert.equal(statSync(state.folder).mode & 0o777, 0o700);
  assert.equal(statSync(state.envoyFolder).mode & 0o777, 0o700);
  state.close();
  assert.equal(existsSync(state.envoyFolder), false, 'no key stays behind');
});

test('nothing is written beside the policy, whose folder is watched', () => {
  const state = openState({ stateHome: newHome(), runtimeHome: undefined, name: 'n' });
  const others = [state.journalPath, state.pidPath('extproc'), state.extprocSocket, join(state.envoyFolder, 'a')];
  for (const path of others) assert.notEqual(dirname(path), dirname(state.policyPath), path);
  assert.deepEqual(readdirSync(dirname(state.policyPath)), []);
  assert.equal(statSync(dirname(state.policyPath)).mode & 0o777, 0o700);
  state.close();
});

test('a socket whose path would be too long stands in a short folder of our own', () => {
  const stateHome = join(newHome(), 'x'.repeat(90));
  const state = openState({ stateHome, runtimeHome: undefined, name: 'n' });
  for (const path of [state.extprocSocket, state.extprocAdminSocket, state.envoyAdminSocket]) {
    assert.ok(Buffer.byteLength(path) <= 103, path);
    assert.equal(statSync(join(path, '..')).mode & 0o777, 0o700);
  }
  assert.ok(state.journalPath.startsWith(stateHome));
  state.close();
  const runtimeHome = newHome();
  const again = openState({ stateHome, runtimeHome, name: 'n' });
  assert.ok(again.extprocSocket.startsWith(runtimeHome));
  again.close();
});

test('a folder that cannot be used is not taken for a second instance, and the fix is named', () => {
  assert.throws(
    () => openState({ stateHome: '/dev/null', runtimeHome: undefined, name: 'n' }),
    (error) =>
      error instanceof OperatorError &&
      /\/dev\/null\/.* cannot be used \(ENOTDIR\).*XDG_STATE_HOME/.test(error.message),
  );
});
