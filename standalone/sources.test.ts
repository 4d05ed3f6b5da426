import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readSources, secretLookup } from './sources.ts';

const folder = mkdtempSync(join(tmpdir(), 'sources-'));
mkdirSync(join(folder, 'sub'));
for (const name of ['b.yaml', 'a.yml', 'c.json', 'notes.txt', '.hidden.yaml', 'sub/d.yaml']) {
  writeFileSync(join(folder, name), name);
}

test('YAML and JSON files of a folder are read in order, and a named file with any name', () => {
  const { files, unreadable, paths } = readSources([folder, join(folder, 'notes.txt')]);
  assert.deepEqual(
    files.map(({ text }) => text),
    ['a.yml', 'b.yaml', 'c.json', 'sub/d.yaml', 'notes.txt'],
  );
  assert.deepEqual(unreadable, []);
  assert.ok(paths.includes(folder) && paths.includes(join(folder, 'sub')), 'folders are watched for new files');
});

test('a missing file is reported with a fix and watched', () => {
  const path = join(folder, 'missing.yaml');
  const { files, unreadable, paths } = readSources([path]);
  assert.deepEqual(files, []);
  assert.deepEqual(unreadable, [{ path, text: `${path}: does not exist; fix: correct the path` }]);
  assert.deepEqual(paths, [path]);
});

test('files that Secrets refer to are relative to the file of the Secret, and watched', () => {
  writeFileSync(join(folder, 'key.txt'), 'sk-1\n');
  const lookup = secretLookup({ KEY: 'value' });
  assert.equal(lookup.environment('KEY'), 'value');
  assert.equal(lookup.file('../key.txt', join(folder, 'sub', 'd.yaml')), 'sk-1\n');
  assert.equal(lookup.file('none.txt', join(folder, 'b.yaml')), undefined);
  assert.deepEqual(lookup.paths, [join(folder, 'key.txt'), join(folder, 'none.txt')]);
});
