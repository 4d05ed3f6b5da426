import assert from 'node:assert/strict';
import { test } from 'node:test';
import { targetIds } from './route-ids.ts';

test('ids are stable with a secret, and of 128 bits and more that only the secret tells', () => {
  const one = targetIds('one');
  assert.equal(one('a/b/c'), targetIds('one')('a/b/c'));
  assert.notEqual(one('a/b/c'), targetIds('two')('a/b/c'));
  assert.match(one('a/b/c'), /^a\/b\/c\/[\w-]{22}$/);
  // Knowing one does not tell another.
  assert.notEqual(one('a/b/c').slice(-22), one('a/b/d').slice(-22));
});
