import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ModelPrices, TokenPrices } from '../../contract/tokens.ts';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import type { Usage } from '../usage.ts';
import { costNanos, covers, dearestRates, isFree } from './money.ts';
import {
  bucket,
  costQuota,
  demand,
  extend,
  granted,
  lease,
  reserve,
  settleUnits,
  simulate,
  startMs,
} from './testing.ts';

/** Up to 1,000 units per million tokens, with up to nine decimal places. */
const price = fc.oneof(fc.nat(1_000_000_000_000), fc.nat(1_000), fc.constant(0));
const optional = fc.option(price, { nil: undefined });
const kinds = [
  'input',
  'output',
  'cachedInput',
  'cacheWriteInput',
  'cacheWrite1hInput',
  'reasoningOutput',
  'audioInput',
  'audioOutput',
] as const;

const tokenPrices: fc.Arbitrary<TokenPrices> = fc
  .tuple(price, price, fc.record(Object.fromEntries(kinds.slice(2).map((kind) => [kind, optional]))))
  .map(([input, output, others]) => {
    const priced = Object.entries(others).filter(([, value]) => value !== undefined);
    return { input, output, ...Object.fromEntries(priced) };
  });

const longContext = fc.record({ aboveInputTokens: fc.nat(1_500_000), perMillionTokens: tokenPrices });

const prices: fc.Arbitrary<ModelPrices> = fc
  .tuple(tokenPrices, fc.option(longContext, { nil: undefined }), optional)
  .map(([perMillionTokens, long, perRequest]) => ({
    currency: 'USD',
    perMillionTokens,
    ...(long !== undefined && { longContext: long }),
    ...(perRequest !== undefined && { perRequest }),
  }));

const tokens = fc.nat(2_000_000);
const usages: fc.Arbitrary<Usage> = fc.record({
  input: tokens,
  output: tokens,
  cachedInput: tokens,
  cacheWriteInput: tokens,
  cacheWrite1hInput: tokens,
  reasoningOutput: tokens,
  audioInput: tokens,
  audioOutput: tokens,
});

/** Prices every token of its own with BigInt, as one list of the kinds. */
function exactNanos(usage: Usage, { perMillionTokens, longContext: long, perRequest = 0 }: ModelPrices): bigint {
  const of = long && usage.input > long.aboveInputTokens ? long.perMillionTokens : perMillionTokens;
  const least = (one: number, other: number) => Math.min(one, other);
  const cached = least(usage.cachedInput, usage.input);
  const written = least(usage.cacheWriteInput, usage.input - cached);
  const hour = least(usage.cacheWrite1hInput, written);
  const audio = least(usage.audioInput, usage.input - cached - written);
  const reasoning = least(usage.reasoningOutput, usage.output);
  const speech = least(usage.audioOutput, usage.output - reasoning);
  const parts: readonly (readonly [number, number | undefined])[] = [
    [usage.input - cached - written - audio, of.input],
    [cached, of.cachedInput ?? of.input],
    [written - hour, of.cacheWriteInput ?? of.input],
    [hour, of.cacheWrite1hInput ?? of.cacheWriteInput ?? of.input],
    [audio, of.audioInput ?? of.input],
    [usage.output - reasoning - speech, of.output],
    [reasoning, of.reasoningOutput ?? of.output],
    [speech, of.audioOutput ?? of.output],
  ];
  const sum = parts.reduce((total, [count, each]) => total + BigInt(count) * BigInt(each ?? 0), 0n);
  return BigInt(perRequest) + (sum + 999_999n) / 1_000_000n;
}

test('the cost of a request is exact to the nano-unit, rounded up once', () => {
  fc.assert(
    fc.property(usages, prices, (usage, of) => {
      const exact = exactNanos(usage, of);
      const bounded = exact < 2n ** 50n ? exact : 2n ** 50n;
      assert.equal(BigInt(costNanos(usage, of)), bounded);
    }),
    fuzzRuns(1_000),
  );
});

test('a hold is never less than the cost of the tokens that it bounds', () => {
  fc.assert(
    fc.property(usages, prices, tokens, tokens, (usage, of, moreInput, moreOutput) => {
      const { fixed, perInputToken, perOutputToken } = dearestRates(of, usage.input + moreInput);
      const held = fixed + perInputToken * (usage.input + moreInput) + perOutputToken * (usage.output + moreOutput);
      assert(held >= costNanos(usage, of), `${held} held, ${costNanos(usage, of)} charged`);
    }),
    fuzzRuns(1_000),
  );
});

test('a kind without a price costs as much as the kind of which it is a part', () => {
  const of = {
    currency: 'USD',
    perMillionTokens: { input: 3_000_000_000, cacheWriteInput: 3_750_000_000, output: 15e9 },
  };
  const usage = {
    input: 1_000,
    cachedInput: 100,
    cacheWriteInput: 200,
    cacheWrite1hInput: 50,
    audioInput: 10,
    output: 500,
    reasoningOutput: 400,
    audioOutput: 5,
  };
  assert.equal(costNanos(usage, of), 800 * 3_000 + 200 * 3_750 + 500 * 15_000);
});

test('prices cover a request where they name its input and, if it has any, its output', () => {
  const of = (perMillionTokens: ModelPrices['perMillionTokens']) => ({ currency: 'USD', perMillionTokens });
  assert.equal(covers(of({ input: 0, output: 1 }), true), true);
  assert.equal(covers(of({ input: 20 }), false), true);
  assert.equal(covers(of({ input: 20 }), true), false);
  assert.equal(covers(of({ output: 20 }), false), false);
  const long = { ...of({ input: 1, output: 1 }), longContext: { aboveInputTokens: 9, perMillionTokens: { input: 1 } } };
  assert.equal(covers(long, true), false);
  assert.equal(isFree(of({ input: 0, output: 0 })), true);
  assert.equal(isFree({ ...of({ input: 0, output: 0 }), perRequest: 1 }), false);
});

test('spent and held money never pass the limit, whatever models share the budget', () => {
  const step = fc.record({
    of: prices,
    inputTokens: fc.nat(3_000),
    want: fc.integer({ min: 1, max: 5_000 }),
    more: fc.nat(3_000),
    used: fc.double({ min: 0, max: 1, noNaN: true }),
    settles: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.nat(20_000_000_000), fc.array(step, { maxLength: 30 }), (limit, steps) => {
      const { store } = simulate();
      const ref = bucket(costQuota(limit));
      const within = () => {
        for (const { spent, held } of store.top(1, startMs)) {
          assert(spent + held <= limit && held >= 0, `${spent} + ${held} of ${limit}`);
        }
      };
      for (const { of, inputTokens, want, more, used, settles } of steps) {
        const decision = reserve(store, demand([ref], startMs, inputTokens, lease(want), true, of));
        within();
        if (decision?.type !== 'granted') {
          continue;
        }
        const { hold, outputTokens } = granted(decision);
        const extended = outputTokens + (extend(store, hold, lease(more + 1), startMs) ?? 0);
        within();
        const output = Math.floor(extended * used);
        const usage = {
          ...zero,
          input: inputTokens,
          output,
          reasoningOutput: output >> 1,
          cachedInput: inputTokens >> 1,
        };
        if (settles) {
          const overdrafts = settleUnits(store, hold, { amounts: [costNanos(usage, of)], cause: 'in_flight' }, startMs);
          assert.deepEqual(overdrafts, []);
          within();
        }
      }
    }),
    fuzzRuns(300),
  );
});

const zero: Usage = {
  input: 0,
  output: 0,
  cachedInput: 0,
  cacheWriteInput: 0,
  cacheWrite1hInput: 0,
  reasoningOutput: 0,
  audioInput: 0,
  audioOutput: 0,
};
