import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { watchPaths, writeAtomically, writeAtomicallySync } from './files.ts';

const newFolder = () => mkdtempSync(join(tmpdir(), 'files-'));

test('a file is replaced whole, with its mode, and leaves no temporary file', async () => {
  const folder = newFolder();
  const path = join(folder, 'secret');
  writeAtomicallySync(path, 'one', 0o600);
  await writeAtomically(path, 'two', 0o600);
  assert.equal(readFileSync(path, 'utf8'), 'two');
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(folder), ['secret']);
});

/** Waits for the watch's call that follows `change`. */
async function seen(paths: readonly string[], change: () => void): Promise<void> {
  let called = () => {};
  const waiting = new Promise<void>((resolve) => {
    called = resolve;
  });
  const watch = watchPaths(() => called());
  watch.set(paths);
  change();
  await waiting;
  watch.close();
}

test('a watch sees files that are written, replaced, created and relinked', { timeout: 10_000 }, async () => {
  const folder = newFolder();
  const path = join(folder, 'a.yaml');
  writeFileSync(path, '1');
  await seen([path], () => writeFileSync(path, '2'));
  await seen([path], () => {
    writeFileSync(join(folder, '.a.swp'), '3');
    renameSync(join(folder, '.a.swp'), path);
  });
  await seen([join(folder, 'new.yaml')], () => writeFileSync(join(folder, 'new.yaml'), '1'));
  await seen([folder], () => writeFileSync(join(folder, 'other.yaml'), '1'));
  // As Kubernetes exchanges a mounted volume.
  const mount = newFolder();
  mkdirSync(join(mount, 'v1'));
  writeFileSync(join(mount, 'v1', 'key'), '1');
  symlinkSync('v1', join(mount, '..data'));
  symlinkSync('..data/key', join(mount, 'key'));
  await seen([join(mount, 'key')], () => {
    symlinkSync('v1', join(mount, '..data_new'));
    renameSync(join(mount, '..data_new'), join(mount, '..data'));
  });
});
