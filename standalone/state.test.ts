import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { OperatorError } from './operator-error.ts';
import { openState } from './state.ts';

const newHome = () => mkdtempSync(join(tmpdir(), 'state-'));

/** Opens the same state in another process, which then exits without closing it. */
function elsewhere(stateHome: string, as: { readonly uid?: number; readonly gid?: number } = {}): string {
  const script = `import { openState } from ${JSON.stringify(new URL('./state.ts', import.meta.url).href)};
    try { openState({ stateHome: process.argv[1], runtimeHome: undefined, name: 'n' }); console.log('open'); }
    catch (error) { console.log(error.name === 'OperatorError' ? error.message : error.stack); }`;
  return spawnSync(process.execPath, ['--input-type=module', '--eval', script, stateHome], {
    encoding: 'utf8',
    ...as,
  }).stdout.trim();
}

test('only one process can use an instance, and its end in any way frees the instance', () => {
  const stateHome = newHome();
  assert.equal(elsewhere(stateHome), 'open');
  const state = openState({ stateHome, runtimeHome: undefined, name: 'n' });
  assert.match(elsewhere(stateHome), new RegExp(`another tallygate named n is running \\(process ${process.pid}\\)`));
  openState({ stateHome, runtimeHome: undefined, name: 'other' }).close();
  state.close();
  assert.equal(elsewhere(stateHome), 'open');
});

test('all files are private to their owner, and provider keys are removed at the end', () => {
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

test('only the policy is written into its folder, which is watched', () => {
  const state = openState({ stateHome: newHome(), runtimeHome: undefined, name: 'n' });
  const others = [state.journalPath, state.pidPath('extproc'), state.extprocSocket, join(state.envoyFolder, 'a')];
  for (const path of others) {
    assert.notEqual(dirname(path), dirname(state.policyPath), path);
  }
  assert.deepEqual(readdirSync(dirname(state.policyPath)), []);
  assert.equal(statSync(dirname(state.policyPath)).mode & 0o777, 0o700);
  state.close();
});

test('a socket whose path would be too long gets a short private folder', () => {
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

const unusable = (home: string) => (error: unknown) =>
  error instanceof OperatorError &&
  error.message.startsWith(`the state folder ${home}/tallygate/n cannot be used (`) &&
  error.message.endsWith('make it writable, or set XDG_STATE_HOME to another folder') &&
  !error.message.includes('\n');

test('an unusable state folder is reported in one line with a fix', () => {
  const file = join(newHome(), 'file');
  writeFileSync(file, '');
  const folderForLock = newHome();
  mkdirSync(join(folderForLock, 'tallygate', 'n', 'lock.db'), { recursive: true });
  const fileInPlace = newHome();
  mkdirSync(join(fileInPlace, 'tallygate'));
  writeFileSync(join(fileInPlace, 'tallygate', 'n'), '');
  const fileForPolicy = newHome();
  mkdirSync(join(fileForPolicy, 'tallygate', 'n'), { recursive: true });
  writeFileSync(join(fileForPolicy, 'tallygate', 'n', 'policy'), '');
  for (const stateHome of ['/dev/null', file, folderForLock, fileInPlace, fileForPolicy]) {
    assert.throws(() => openState({ stateHome, runtimeHome: undefined, name: 'n' }), unusable(stateHome), stateHome);
  }
  // The failed start left no lock.
  rmSync(join(fileForPolicy, 'tallygate', 'n', 'policy'));
  openState({ stateHome: fileForPolicy, runtimeHome: undefined, name: 'n' }).close();
});

test('a state folder without permission is reported without a stack', {
  skip: process.getuid?.() === 0 ? false : 'needs root to run as another user',
}, () => {
  const output = elsewhere(newHome(), { uid: 65534, gid: 65534 });
  assert.match(output, /^the state folder .*\/n cannot be used \(EACCES: .*\); make it .* another folder$/);
});

test('the secret of route ids is created once, private to its owner', () => {
  const stateHome = mkdtempSync(join(tmpdir(), 'state-'));
  const open = () => openState({ stateHome, runtimeHome: undefined, name: 'n' });
  const first = open();
  const { routeSecret, folder } = first;
  first.close();
  assert.match(routeSecret, /^[\w-]{43}$/);
  assert.equal(statSync(join(folder, 'route-secret')).mode & 0o777, 0o600);
  const second = open();
  assert.equal(second.routeSecret, routeSecret);
  second.close();
  writeFileSync(join(folder, 'route-secret'), 'spoilt');
  const third = open();
  assert.match(third.routeSecret, /^[\w-]{43}$/);
  third.close();
  rmSync(stateHome, { recursive: true });
});
