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

test('a folder stands for its YAML and JSON files, in order; a named file for itself, whatever it is called', () => {
  const { files, unreadable, paths } = readSources([folder, join(folder, 'notes.txt')]);
  assert.deepEqual(
    files.map(({ text }) => text),
    ['a.yml', 'b.yaml', 'c.json', 'sub/d.yaml', 'notes.txt'],
  );
  assert.deepEqual(unreadable, []);
  assert.ok(paths.includes(folder) && paths.includes(join(folder, 'sub')), 'folders are watched for new files');
});

test('what is not there is told with the fix, and watched for its coming', () => {
  const path = join(folder, 'missing.yaml');
  const { files, unreadable, paths } = readSources([path]);
  assert.deepEqual(files, []);
  assert.deepEqual(unreadable, [{ path, text: `${path}: there is no such file or folder; fix: correct the path` }]);
  assert.deepEqual(paths, [path]);
});

test('files that Secrets name are found beside the file that names them, and watched', () => {
  writeFileSync(join(folder, 'key.txt'), 'sk-1\n');
  const lookup = secretLookup({ KEY: 'value' });
  assert.equal(lookup.environment('KEY'), 'value');
  assert.equal(lookup.file('../key.txt', join(folder, 'sub', 'd.yaml')), 'sk-1\n');
  assert.equal(lookup.file('none.txt', join(folder, 'b.yaml')), undefined);
  assert.deepEqual(lookup.paths, [join(folder, 'key.txt'), join(folder, 'none.txt')]);
});
