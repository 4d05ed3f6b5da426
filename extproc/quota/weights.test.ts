import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { TokenWeight } from '../../contract/tokens.ts';
import { tokenKinds } from '../../contract/tokens.ts';
import { compileWeight, MAX_COEFFICIENT, MAX_DIVISOR, WEIGHTED_UNITS } from '../../contract/weight.ts';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import type { Usage } from '../usage.ts';
import { bucket, demand, granted, lease, quota, reserve, settleUnits, simulate, startMs } from './testing.ts';
import { shownAmount } from './units.ts';
import { weightedTokens, weightRates } from './weights.ts';

const tokens = fc.nat(2 ** 24);
const usages: fc.Arbitrary<Usage> = fc.record({
  input: tokens,
  output: tokens,
  cachedInput: tokens,
  cacheWriteInput: tokens,
  cacheWrite1hInput: tokens,
  reasoningOutput: tokens,
  audioInput: tokens,
  audioOutput: tokens,
  imageInput: tokens,
  imageOutput: tokens,
});

/** Any weight that compiles. */
const weights: fc.Arbitrary<TokenWeight> = fc.integer({ min: 1, max: MAX_DIVISOR }).chain((divisor) => {
  const most = MAX_COEFFICIENT * WEIGHTED_UNITS * divisor;
  const factor = fc.oneof(fc.integer({ min: -most, max: most }), fc.integer({ min: -9, max: 9 }));
  const perToken = fc.record(Object.fromEntries(tokenKinds.map((kind) => [kind, factor])), { requiredKeys: [] });
  return fc.record({ perToken, constant: factor, divisor: fc.constant(divisor) });
});

/** Computes with BigInt what a request counts, of parts that lie within their whole. */
function exactWeight(usage: Usage, { perToken, constant, divisor }: TokenWeight): bigint {
  const sum = tokenKinds.reduce((total, kind) => total + BigInt(usage[kind]) * BigInt(perToken[kind] ?? 0), 0n);
  const all = sum + BigInt(constant);
  const by = BigInt(divisor);
  return all <= 0n ? 0n : (all + by - 1n) / by;
}

/** Returns usage whose parts lie within their whole and do not overlap. */
function consistent(usage: Usage): Usage {
  const cachedInput = usage.cachedInput % (usage.input + 1);
  const cacheWriteInput = usage.cacheWriteInput % (usage.input - cachedInput + 1);
  const reasoningOutput = usage.reasoningOutput % (usage.output + 1);
  const audioInput = usage.audioInput % (usage.input - cachedInput - cacheWriteInput + 1);
  const audioOutput = usage.audioOutput % (usage.output - reasoningOutput + 1);
  return {
    ...usage,
    cachedInput,
    cacheWriteInput,
    reasoningOutput,
    cacheWrite1hInput: usage.cacheWrite1hInput % (cacheWriteInput + 1),
    audioInput,
    audioOutput,
    imageInput: usage.imageInput % (usage.input - cachedInput - cacheWriteInput - audioInput + 1),
    imageOutput: usage.imageOutput % (usage.output - reasoningOutput - audioOutput + 1),
  };
}

test('weighted tokens are exact to a thousandth, rounded up once', () => {
  fc.assert(
    fc.property(usages.map(consistent), weights, (usage, weight) => {
      const exact = exactWeight(usage, weight);
      assert.equal(BigInt(weightedTokens(usage, weight)), exact < 2n ** 50n ? exact : 2n ** 50n);
    }),
    fuzzRuns(2_000),
  );
});

test('a hold is never less than the weight of the tokens that it bounds', () => {
  fc.assert(
    fc.property(usages, weights, fc.nat(1000), fc.nat(1000), (usage, weight, moreInput, moreOutput) => {
      const { fixed, perInputToken, perOutputToken } = weightRates(weight);
      const held = fixed + perInputToken * (usage.input + moreInput) + perOutputToken * (usage.output + moreOutput);
      assert(held >= weightedTokens(usage, weight), `${held} held, ${weightedTokens(usage, weight)} charged`);
    }),
    fuzzRuns(2_000),
  );
});

test('a hold takes each token as the kind that counts the most', () => {
  const rates = (text: string) => weightRates(compileWeight(text));
  assert.deepEqual(rates('usage.input + 4 * usage.output - usage.cachedInput / 2'), {
    fixed: 0,
    perInputToken: 1000,
    perOutputToken: 4000,
  });
  assert.deepEqual(rates('usage.output / 3 + 2 * usage.reasoningOutput - 5'), {
    fixed: 0,
    perInputToken: 0,
    perOutputToken: 2334,
  });
  assert.deepEqual(rates('usage.cacheWriteInput + usage.cacheWrite1hInput + usage.audioInput + 5'), {
    fixed: 5000,
    perInputToken: 2000,
    perOutputToken: 0,
  });
});

test('spent and held weighted tokens never pass the limit', () => {
  const weight = compileWeight('usage.input + 4 * usage.output - usage.cachedInput / 2');
  const of = quota('TotalTokens', 1, { limit: { type: 'WeightedTokens', amount: 100_000, weight } });
  const { store } = simulate();
  const ref = bucket(of);
  const { hold, outputTokens } = granted(reserve(store, demand([ref], startMs, 20, lease(100))));
  assert.equal(outputTokens, 10, 'half of the 80 tokens that are left, each counting four times');
  const usage = { ...none, input: 20, cachedInput: 5, output: 10 };
  assert.deepEqual(
    settleUnits(store, hold, { amounts: [weightedTokens(usage, weight)], cause: 'in_flight' }, startMs),
    [],
  );
  const [state] = store.top(1, startMs);
  assert.deepEqual([state?.spent, state?.held], [57_500, 0]);
  assert.equal(shownAmount(of, 57_500), 57.5);
});

const none: Usage = {
  input: 0,
  output: 0,
  cachedInput: 0,
  cacheWriteInput: 0,
  cacheWrite1hInput: 0,
  reasoningOutput: 0,
  audioInput: 0,
  audioOutput: 0,
  imageInput: 0,
  imageOutput: 0,
};
