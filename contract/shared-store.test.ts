import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_KEY_PREFIX, readSharedStoreUrl, type SharedStoreConfig, sharedStoreSchema } from './shared-store.ts';

const base: SharedStoreConfig = {
  type: 'Redis',
  mode: 'Standalone',
  addresses: ['store:6379'],
  keyPrefix: DEFAULT_KEY_PREFIX,
};
const caPem = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';

const readable: readonly (readonly [string, Partial<SharedStoreConfig>])[] = [
  ['redis://store', {}],
  ['redis://store:7000/3', { addresses: ['store:7000'], database: 3 }],
  ['redis://[::1]:7000', { addresses: ['[::1]:7000'] }],
  ['redis://[::1]', { addresses: ['[::1]:6379'] }],
  ['redis://:p%40ss@store', { password: 'p@ss' }],
  ['redis://app:secret@store', { username: 'app', password: 'secret' }],
  ['rediss://store', { tls: {} }],
  ['rediss://store?serverName=redis.example&keyPrefix=eu', { tls: { serverName: 'redis.example' }, keyPrefix: 'eu' }],
  [
    'redis+sentinel://:secret@one,two:5000/main',
    { mode: 'Sentinel', addresses: ['one:26379', 'two:5000'], sentinelMaster: 'main', password: 'secret' },
  ],
  [
    'rediss+sentinel://one/main/2',
    { mode: 'Sentinel', addresses: ['one:26379'], sentinelMaster: 'main', tls: {}, database: 2 },
  ],
  ['redis+cluster://one,two:7001', { mode: 'Cluster', addresses: ['one:6379', 'two:7001'] }],
];

for (const [url, expected] of readable) {
  test(`${url} is a shared store`, () => {
    assert.deepEqual(readSharedStoreUrl(url), { ...base, ...expected });
  });
}

const unreadable: readonly (readonly [string, RegExp])[] = [
  ['store:6379', /must be redis:\/\/HOST/],
  ['http://store', /must be redis:\/\/HOST/],
  ['constructor://store', /must be redis:\/\/HOST/],
  ['redis://', /must be redis:\/\/HOST/],
  ['redis://store/main', /may only end in \/DATABASE/],
  ['redis://one,two', /addresses must have one address in mode Standalone/],
  ['redis://store:99999', /addresses\.0 must be HOST:PORT/],
  ['redis://store:0', /addresses\.0 must be HOST:PORT/],
  ['redis://app@store', /username requires a password/],
  ['redis://:%zz@store', /percent-encoded/],
  ['redis://store?db=1', /may only have keyPrefix and serverName/],
  ['redis://store?serverName=other', /must begin with rediss/],
  ['redis://store?keyPrefix=%7Ba%7D', /keyPrefix must consist of letters/],
  ['redis+sentinel://one', /sentinelMaster is required in mode Sentinel/],
  ['redis+cluster://one/1', /database must be 0 in mode Cluster/],
];

for (const [url, expected] of unreadable) {
  test(`${url} is refused with the fix`, () => {
    const read = readSharedStoreUrl(url);
    assert.match('problem' in read ? read.problem : 'no problem', expected);
  });
}

test('secrets and CA certificates come from files', () => {
  assert.deepEqual(readSharedStoreUrl('rediss://app@store', { password: 'secret', caPem }), {
    ...base,
    username: 'app',
    password: 'secret',
    tls: { caPem },
  });
  const read = readSharedStoreUrl('redis://store', { caPem });
  assert.match('problem' in read ? read.problem : '', /must begin with rediss/);
});

test('a problem contains no secret', () => {
  const read = readSharedStoreUrl('redis://app:hunter2@one,two/x');
  assert.doesNotMatch(JSON.stringify(read), /hunter2/);
});

test('an unknown field is refused', () => {
  assert.equal(sharedStoreSchema.safeParse({ ...base, replicas: 3 }).success, false);
});
