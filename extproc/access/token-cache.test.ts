import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TokenCache } from './token-cache.ts';

test('an entry is known until its time', () => {
  const cache = new TokenCache<string>(1_000_000);
  cache.set('a', 'first', 100, 10);
  assert.equal(cache.get('a', 99), 'first');
  assert.equal(cache.get('a', 100), undefined);
  assert.equal(cache.get('b', 0), undefined);
  cache.set('a', 'second', 200, 10);
  assert.equal(cache.get('a', 100), 'second');
});

test('entries in use stay, others make room, and memory is limited', () => {
  const cache = new TokenCache<number>(100 * 1024);
  cache.set('used', -1, 1, 0);
  let largest = 0;
  for (let index = 0; index < 10_000; index++) {
    cache.set(`key-${index}`, index, 1, 128);
    assert.equal(cache.get('used', 0), -1);
    largest = Math.max(largest, cache.size);
  }
  assert.ok(largest <= 101 && largest > 50, `${largest} entries`);
  assert.equal(cache.get('key-0', 0), undefined);
  assert.equal(cache.get('key-9999', 0), 9999);
});

test('setting one key again and again takes no more memory', () => {
  const cache = new TokenCache<number>(100 * 1024);
  cache.set('other', 1, 1, 0);
  for (let index = 0; index < 10_000; index++) {
    cache.set('same', index, 1, 128);
  }
  assert.equal(cache.size, 2);
});
