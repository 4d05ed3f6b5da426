import assert from 'node:assert/strict';
import { it } from 'node:test';
import { median, percentile, ratioOf } from './statistics.ts';

it('finds the median, whatever the order', () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(percentile([5, 1, 3], 1), 5);
  assert.equal(percentile([5, 1, 3], 0), 1);
});

it('takes the ratio of each pair before the median, because a slow minute slows both sides', () => {
  const ratio = ratioOf([
    [50, 100],
    [6, 10],
    [400, 1000],
  ]);
  assert.deepEqual(ratio, { median: 0.5, least: 0.4, most: 0.6 });
});
