import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { writeAtomicallySync } from '../../../runtime/files.ts';
import { createLog } from '../../../runtime/log.ts';
import { SecretsFile } from './secrets-file.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'detector-secrets-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test('a secret is known as soon as the file has it, and a changed one within a second', () => {
  const path = join(folder, 'secrets.json');
  const write = (secrets: object) => writeAtomicallySync(path, JSON.stringify(secrets), 0o600);
  let nowMs = 0;
  const file = new SecretsFile({ path, now: () => nowMs, log: createLog({ level: 'silent' }) });
  assert.equal(file.value('default/api/key'), undefined);
  write({ 'default/api/key': 'one' });
  assert.equal(file.value('default/api/key'), 'one');
  write({ 'default/api/key': 'two' });
  nowMs += 1_000;
  assert.equal(file.value('default/api/key'), 'two');
  writeAtomicallySync(path, '{"default/api/key": 5}', 0o600);
  nowMs += 1_000;
  assert.equal(file.value('default/api/key'), 'two');
});
