import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exhaustedAtMs } from './forecast.ts';

const pace = { spent: 50, limit: 100, startMs: 1_000, endMs: 3_000 };

test('a budget that is half spent after a quarter of its window ends after half of it', () => {
  assert.equal(exhaustedAtMs(pace, 1_500), 2_000);
});

test('a budget that lasts until the end of its window has no forecast', () => {
  assert.equal(exhaustedAtMs(pace, 2_000), undefined);
  assert.equal(exhaustedAtMs({ ...pace, spent: 0 }, 1_500), undefined);
});

test('a budget that is spent has no forecast', () => {
  assert.equal(exhaustedAtMs({ ...pace, spent: 100 }, 1_500), undefined);
});

test('a window without an end, without a known start or just begun has no forecast', () => {
  assert.equal(exhaustedAtMs({ ...pace, endMs: undefined }, 1_500), undefined);
  assert.equal(exhaustedAtMs({ ...pace, startMs: undefined }, 1_500), undefined);
  assert.equal(exhaustedAtMs(pace, 1_019), undefined);
  assert.notEqual(exhaustedAtMs(pace, 1_020), undefined);
});
