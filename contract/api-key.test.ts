import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { API_KEY_PATTERN, apiKeyHash, isApiKeyText, isGeneratedApiKey, newApiKey } from './api-key.ts';

test('a generated key has the documented form and checksum', () => {
  const keys = new Set(Array.from({ length: 1000 }, () => newApiKey(randomBytes)));
  assert.equal(keys.size, 1000);
  for (const key of keys) {
    assert.deepEqual(`secret=${key};`.match(API_KEY_PATTERN), [key]);
    assert.ok(isGeneratedApiKey(key));
    assert.ok(isApiKeyText(key));
  }
});

test('the checksum is the CRC-32 of prefix and random part in base62', () => {
  // Python's zlib.crc32(b"tg_" + b"0" * 30) is 4279861541.
  const key = newApiKey((count) => new Uint8Array(count));
  assert.equal(key, `tg_${'0'.repeat(30)}4fdrUr`);
});

test('a random byte that would favour some digits is not used', () => {
  let calls = 0;
  const key = newApiKey((count) => new Uint8Array(count).fill(calls++ === 0 ? 255 : 61));
  assert.ok(key.startsWith(`tg_${'z'.repeat(30)}`));
  assert.equal(calls, 2);
});

test('a changed character breaks the checksum', () => {
  const key = newApiKey(randomBytes);
  for (let at = 0; at < key.length; at++) {
    const changed = key.slice(0, at) + (key[at] === 'A' ? 'B' : 'A') + key.slice(at + 1);
    assert.equal(isGeneratedApiKey(changed), false, changed);
  }
  assert.equal(isGeneratedApiKey(`${key}0`), false);
  assert.equal(isGeneratedApiKey(''), false);
});

test('a key of the user’s own choice has 16 to 512 printable ASCII characters', () => {
  assert.ok(isApiKeyText('tg-search-batch-0000000000000000'));
  assert.ok(isApiKeyText('x'.repeat(16)));
  assert.ok(isApiKeyText('x'.repeat(512)));
  for (const wrong of ['x'.repeat(15), 'x'.repeat(513), `${'x'.repeat(16)} `, `${'x'.repeat(16)}\n`, 'é'.repeat(16)]) {
    assert.equal(isApiKeyText(wrong), false, JSON.stringify(wrong));
  }
});

test('a hash is the SHA-256 of the key in hexadecimal', () => {
  assert.equal(apiKeyHash('abc'), 'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
});
