import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SharedStoreConfig } from '../contract/shared-store.ts';
import { withSecret } from './shared-store.ts';

const base: SharedStoreConfig = {
  type: 'Redis',
  mode: 'Standalone',
  addresses: ['store.example.com:6379'],
  keyPrefix: 'tallygate',
};
const encrypted = { ...base, tls: { serverName: 'store' } };
const pem = '-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----';
const encoded = (data: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]));

test('user, password and CA certificates come from the Secret', () => {
  const data = encoded({ username: 'tallygate', password: 's3cret\n', 'ca.crt': pem });
  assert.deepEqual(withSecret(encrypted, data), {
    ...encrypted,
    username: 'tallygate',
    password: 's3cret',
    tls: { serverName: 'store', caPem: pem },
  });
});

const faults: readonly (readonly [string, SharedStoreConfig, Readonly<Record<string, string>>, RegExp])[] = [
  ['without a password', base, { username: 'tallygate' }, /^has no key password$/],
  ['with certificates for an open connection', base, { password: 'x', 'ca.crt': pem }, /quotaStore\.tls\.enabled/],
  ['with text that is no certificate', encrypted, { password: 'x', 'ca.crt': 's3cret' }, /tls\.caPem must be PEM/],
  [
    'with a password of Sentinels that there are none of',
    base,
    { password: 'x', sentinelPassword: 's3cret' },
    /sentinelPassword requires mode Sentinel/,
  ],
];
for (const [what, config, data, problem] of faults) {
  test(`a Secret ${what} is refused without showing its values`, () => {
    const refused = withSecret(config, encoded(data));
    assert.ok(typeof refused === 'string');
    assert.match(refused, problem);
    assert.doesNotMatch(refused, /s3cret/);
  });
}
