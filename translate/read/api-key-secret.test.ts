import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { secretText } from '../world.ts';
import { apiKeySecret } from './api-key-secret.ts';

const KEY = 'tg-search-batch-0000';
const DIGEST = createHash('sha256').update(KEY).digest('hex');

function keyOf(data: Readonly<Record<string, string>>, annotations: Readonly<Record<string, string>> = {}) {
  const metadata = {
    name: 'key',
    namespace: 'default',
    annotations: Object.fromEntries(
      Object.entries(annotations).map(([name, value]) => [`tallygate.dev/${name}`, value]),
    ),
  };
  const texts = new Map(Object.entries(data).map(([name, value]) => [name, secretText(value)]));
  return apiKeySecret({ metadata, data: texts }).key;
}

describe('a Secret with an API key', () => {
  test('becomes the digest of the key and its owner', () => {
    const annotations = { tenant: 'search', user: 'batch', groups: ' a,,b ', expires: '2027-01-01T00:00:00+01:00' };
    const owner = { tenant: 'search', user: 'batch', groups: ['a', 'b'], expiresAtMs: Date.UTC(2026, 11, 31, 23) };
    assert.deepEqual(keyOf({ apiKey: KEY }, annotations), { digest: DIGEST, ...owner });
    assert.deepEqual(keyOf({ keyHash: `sha256:${DIGEST}` }), { digest: DIGEST, groups: [] });
  });

  const faults = [
    ['neither field', {}, {}, 'data'],
    ['both fields', { apiKey: KEY, keyHash: `sha256:${DIGEST}` }, {}, 'data'],
    ['a short key', { apiKey: 'short' }, {}, 'data.apiKey'],
    ['a key with a line break', { apiKey: `${KEY}\n` }, {}, 'data.apiKey'],
    ['a digest without its algorithm', { keyHash: DIGEST }, {}, 'data.keyHash'],
    ['a digest in upper case', { keyHash: `sha256:${DIGEST.toUpperCase()}` }, {}, 'data.keyHash'],
    ['an empty tenant', { apiKey: KEY }, { tenant: '' }, 'metadata.annotations.tallygate.dev/tenant'],
    ['a long user', { apiKey: KEY }, { user: 'u'.repeat(257) }, 'metadata.annotations.tallygate.dev/user'],
    ['many groups', { apiKey: KEY }, { groups: 'a,'.repeat(65) }, 'metadata.annotations.tallygate.dev/groups'],
    ['a date without time', { apiKey: KEY }, { expires: '2027-01-01' }, 'metadata.annotations.tallygate.dev/expires'],
    [
      'a time before 1970',
      { apiKey: KEY },
      { expires: '1960-01-01T00:00:00Z' },
      'metadata.annotations.tallygate.dev/expires',
    ],
  ] as const;
  for (const [what, data, annotations, path] of faults) {
    test(`with ${what} has no usable key, and the fault does not show the key`, () => {
      const key = keyOf(data, annotations);
      assert.ok('fault' in key);
      assert.equal(key.path, path);
      assert.ok(!JSON.stringify(key).includes(KEY));
    });
  }
});
