import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { OutputEstimator } from './output-estimates.ts';

test('the hold is just above the length of nine in ten responses', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 4000 }), { minLength: 10, maxLength: 250, size: 'max' }),
      (responses) => {
        const estimates = new OutputEstimator();
        for (const tokens of responses) {
          estimates.observe('m', 'r', tokens, 0);
        }
        const p90 = [...responses].sort((a, b) => a - b)[Math.ceil(responses.length * 0.9) - 1]!;
        const hold = estimates.holdTokens('m', 'r');
        assert(hold >= Math.min(1024, p90) && hold >= 16);
        assert(hold <= Math.min(1024, Math.max(16, p90 * Math.SQRT2 + 1)));
      },
    ),
  );
});

test('estimates follow a change of the model', () => {
  const estimates = new OutputEstimator();
  assert.equal(estimates.holdTokens('m', 'r'), 256);
  assert.equal(estimates.tokensPerSecond('m', 'r'), 60);
  for (let count = 0; count < 500; count++) {
    estimates.observe('m', 'r', 900, 9_000);
  }
  assert.equal(estimates.holdTokens('m', 'r'), 1024);
  for (let count = 0; count < 1500; count++) {
    estimates.observe('m', 'r', 30, 100);
  }
  assert.equal(estimates.holdTokens('m', 'r'), 32);
  assert(Math.abs(estimates.tokensPerSecond('m', 'r') - 300) < 1);
  assert.equal(estimates.holdTokens('m', 'other'), 256);
});

test('the number of keys is bounded, and recently used keys stay', () => {
  const estimates = new OutputEstimator({ minHoldTokens: 16, maxHoldTokens: 1024, maxKeys: 3 });
  for (let key = 0; key < 100; key++) {
    for (let count = 0; count < 5; count++) {
      estimates.observe('used', 'r', 16, 0);
    }
    estimates.observe(`model-${key}`, 'r', 10, 0);
  }
  assert.equal(estimates.keys, 3);
  assert.equal(estimates.holdTokens('used', 'r'), 16);
});

test('responses that arrive at once do not teach an impossible rate', () => {
  const estimates = new OutputEstimator();
  for (let count = 0; count < 100; count++) {
    estimates.observe('m', 'r', 700, 0.01);
  }
  assert(estimates.tokensPerSecond('m', 'r') <= 5_000);
});
