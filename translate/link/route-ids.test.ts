import assert from 'node:assert/strict';
import { test } from 'node:test';
import { targetIds } from './route-ids.ts';

test('route ids are stable for a secret and have at least 128 bits that depend on it', () => {
  const one = targetIds('one');
  assert.equal(one('a/b/c'), targetIds('one')('a/b/c'));
  assert.notEqual(one('a/b/c'), targetIds('two')('a/b/c'));
  assert.match(one('a/b/c'), /^a\/b\/c\/[\w-]{22}$/);
  // Knowing one does not tell another.
  assert.notEqual(one('a/b/c').slice(-22), one('a/b/d').slice(-22));
});
