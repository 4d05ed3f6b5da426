import assert from 'node:assert/strict';
import { test } from 'node:test';
import { durationMs, sizeBytes } from './schema.ts';

test('durations have the syntax of Gateway API', () => {
  assert.equal(durationMs('1h30m'), 5_400_000);
  assert.equal(durationMs('500ms'), 500);
  assert.equal(durationMs('1m500ms'), 60_500);
  assert.equal(durationMs('0s'), 0);
});

test('sizes are Kubernetes quantities', () => {
  assert.equal(sizeBytes('65536'), 65_536);
  assert.equal(sizeBytes('32Mi'), 33_554_432);
  assert.equal(sizeBytes('1k'), 1000);
  assert.equal(sizeBytes('1Gi'), 1_073_741_824);
});
