import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readSettings } from './environment.ts';
import { sharedStoreOf } from './shared-store.ts';

const folder = mkdtempSync(join(tmpdir(), 'tallygate-store-'));
after(() => rmSync(folder, { recursive: true }));

function storeOf(environment: Readonly<Record<string, string>>) {
  return sharedStoreOf(readSettings(environment).values);
}

test('without a URL, the process counts for itself', () => {
  assert.equal(storeOf({}), undefined);
});

test('a URL is completed by the password in a file', () => {
  const file = join(folder, 'password');
  writeFileSync(file, 'secret\n');
  const config = storeOf({
    TALLYGATE_QUOTA_STORE_URL: 'redis://gateway@store:7000/1?keyPrefix=eu',
    TALLYGATE_QUOTA_STORE_PASSWORD_FILE: file,
  });
  assert.deepEqual(config, {
    type: 'Redis',
    mode: 'Standalone',
    addresses: ['store:7000'],
    username: 'gateway',
    password: 'secret',
    database: 1,
    keyPrefix: 'eu',
  });
});

test('a wrong variable is named with the fix', () => {
  const file = join(folder, 'missing');
  const url = 'TALLYGATE_QUOTA_STORE_URL';
  assert.throws(() => storeOf({ [url]: 'http://store' }), /^OperatorError: TALLYGATE_QUOTA_STORE_URL must be redis:/);
  assert.throws(
    () => storeOf({ [url]: 'rediss://store', TALLYGATE_QUOTA_STORE_CA_FILE: file }),
    /TALLYGATE_QUOTA_STORE_CA_FILE names .*missing, which cannot be read \(ENOENT\); correct the path/,
  );
  assert.throws(() => storeOf({ TALLYGATE_QUOTA_STORE_CA_FILE: file }), /requires TALLYGATE_QUOTA_STORE_URL/);
  writeFileSync(file, '\n');
  assert.throws(
    () => storeOf({ [url]: 'redis://store', TALLYGATE_QUOTA_STORE_PASSWORD_FILE: file }),
    /which is empty; write the value into it/,
  );
});
