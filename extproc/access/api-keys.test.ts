import assert from 'node:assert/strict';
import { test } from 'node:test';
import { atOnce } from '../policy/slices.ts';
import { indexingApiKeys } from './api-keys.ts';
import { apiKey, digestOf, shardsOf } from './testing.ts';

const NOW_MS = 1_000_000;

test('a key is found by the digest of the whole key', () => {
  const index = atOnce(indexingApiKeys(shardsOf([apiKey('one'), apiKey('two')])));
  assert.equal(index.find(digestOf('one'), NOW_MS)?.apiKey, 'default/one');
  for (const key of ['', 'on', 'one ', 'ONE', 'three']) {
    assert.equal(index.find(digestOf(key), NOW_MS), undefined, key);
  }
  assert.equal(index.find(digestOf('one').toUpperCase(), NOW_MS), undefined);
  assert.equal(index.find('', NOW_MS), undefined);
  assert.equal(index.find('__proto__', NOW_MS), undefined);
});

test('a key is found until it expires', () => {
  const index = atOnce(indexingApiKeys(shardsOf([apiKey('one', { expiresAtMs: NOW_MS })])));
  assert.equal(index.find(digestOf('one'), NOW_MS - 1)?.tenant, 'search');
  assert.equal(index.find(digestOf('one'), NOW_MS), undefined);
});

test('an unchanged shard is not indexed again', () => {
  const shards = shardsOf(Array.from({ length: 2000 }, (_, index) => apiKey(`key-${index}`)));
  const first = atOnce(indexingApiKeys(shards));
  const [changed, ...others] = shards;
  const second = atOnce(indexingApiKeys([{ ...changed!, keys: changed!.keys.slice(1) }, ...others]));
  const [removed] = changed!.keys;
  assert.notEqual(first.find(removed!.digest, NOW_MS), undefined);
  assert.equal(second.find(removed!.digest, NOW_MS), undefined);
  for (const { keys } of others) {
    for (const { digest } of keys) {
      assert.equal(second.find(digest, NOW_MS), first.find(digest, NOW_MS));
    }
  }
});

test('indexing many keys of one shard can be interrupted', () => {
  const keys = Array.from({ length: 40_000 }, (_, index) => apiKey(`key-${index}`));
  const [largest] = shardsOf(keys).toSorted((left, right) => right.keys.length - left.keys.length);
  const pieces = [...indexingApiKeys([largest!])].length;
  assert.ok(pieces >= Math.floor(largest!.keys.length / 64), `${pieces} pieces`);
});

test('shards that contradict each other are refused', () => {
  const [shard] = shardsOf([apiKey('one')]);
  const wrong = { shard: shard!.shard === '00' ? '01' : '00', keys: shard!.keys };
  for (const shards of [[shard!, { ...shard! }], [wrong], [{ ...shard!, keys: [...shard!.keys, ...shard!.keys] }]]) {
    assert.throws(() => atOnce(indexingApiKeys(shards)), /shard|digest/);
  }
});
