import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withReason } from './finish-reasons.ts';

test('reasons are bounded in number and length, and are names', () => {
  assert.deepEqual(withReason(undefined, 'stop'), ['stop']);
  for (const other of ['x'.repeat(65), '', 1, null]) {
    assert.equal(withReason(undefined, other), undefined);
  }
  const many = Array.from({ length: 20 }, (_, i) => String(i)).reduce<readonly string[] | undefined>(
    withReason,
    undefined,
  );
  assert.equal(many?.length, 16);
});
