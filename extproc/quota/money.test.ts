import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ModelPrices, TokenPrices } from '../../contract/tokens.ts';
import { fuzzRuns } from '../../tools/fuzz/cases.ts';
import type { Usage } from '../usage.ts';
import {
  costNanos,
  covers,
  dearestRates,
  finalPrices,
  isFree,
  possiblePrices,
  pricesAt,
  pricesOfUnits,
} from './money.ts';
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
  'imageInput',
  'imageOutput',
] as const;

const tokenPrices: fc.Arbitrary<TokenPrices> = fc
  .tuple(price, price, fc.record(Object.fromEntries(kinds.slice(2).map((kind) => [kind, optional]))))
  .map(([input, output, others]) => {
    const priced = Object.entries(others).filter(([, value]) => value !== undefined);
    return { input, output, ...Object.fromEntries(priced) };
  });

const longContext = fc.record({ aboveInputTokens: fc.nat(1_500_000), perMillionTokens: tokenPrices });

const plainPrices: fc.Arbitrary<ModelPrices> = fc
  .tuple(tokenPrices, fc.option(longContext, { nil: undefined }), optional)
  .map(([perMillionTokens, long, perRequest]) => ({
    currency: 'USD',
    perMillionTokens,
    ...(long !== undefined && { longContext: long }),
    ...(perRequest !== undefined && { perRequest }),
  }));

const tiers = ['flex', 'priority'] as const;
const prices: fc.Arbitrary<ModelPrices> = fc
  .tuple(plainPrices, fc.array(tokenPrices, { maxLength: tiers.length }))
  .map(([plain, ofTiers]) =>
    ofTiers.length === 0
      ? plain
      : {
          ...plain,
          serviceTiers: ofTiers.map((perMillionTokens, place) => ({ name: tiers[place]!, perMillionTokens })),
        },
  );

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
  imageInput: tokens,
  imageOutput: tokens,
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
  const image = least(usage.imageInput, usage.input - cached - written - audio);
  const speech = least(usage.audioOutput, usage.output - reasoning);
  const drawn = least(usage.imageOutput, usage.output - reasoning - speech);
  const parts: readonly (readonly [number, number | undefined])[] = [
    [usage.input - cached - written - audio - image, of.input],
    [cached, of.cachedInput ?? of.input],
    [written - hour, of.cacheWriteInput ?? of.input],
    [hour, of.cacheWrite1hInput ?? of.cacheWriteInput ?? of.input],
    [audio, of.audioInput ?? of.input],
    [image, of.imageInput ?? of.input],
    [usage.output - reasoning - speech - drawn, of.output],
    [reasoning, of.reasoningOutput ?? of.output],
    [speech, of.audioOutput ?? of.output],
    [drawn, of.imageOutput ?? of.output],
  ];
  const sum = parts.reduce((total, [count, each]) => total + BigInt(count) * BigInt(each ?? 0), 0n);
  return BigInt(perRequest) + (sum + 999_999n) / 1_000_000n;
}

test('the cost of a request is exact to the nano-unit, rounded up once', () => {
  fc.assert(
    fc.property(usages, plainPrices, (usage, of) => {
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

test('the hold of any service tier is never less than the cost of the tier that the answer names', () => {
  const name = fc.constantFrom(undefined, 'auto', 'default', ...tiers);
  fc.assert(
    fc.property(usages, prices, name, name, (usage, of, asked, answer) => {
      // A provider serves the tier that was asked for, or none; without one, its settings decide.
      const isFree = asked === undefined || asked === 'auto';
      const told = isFree || answer === undefined || answer === asked ? answer : 'default';
      const { fixed, perInputToken, perOutputToken } = dearestRates(possiblePrices(of, asked), usage.input);
      const held = fixed + perInputToken * usage.input + perOutputToken * usage.output;
      assert(held >= costNanos(usage, finalPrices(of, told, asked)));
    }),
    fuzzRuns(1_000),
  );
});

test('the answer decides the service tier, and without one the dearer of plain and asked', () => {
  const per = (price: number) => ({ perMillionTokens: { input: price * 1_000_000, output: 0 } });
  const of: ModelPrices = {
    currency: 'USD',
    ...per(10),
    serviceTiers: [
      { name: 'flex', ...per(5) },
      { name: 'priority', ...per(20) },
    ],
  };
  const usage = { ...zero, input: 1 };
  const cases: readonly (readonly [told: string | undefined, asked: string | undefined, nanos: number])[] = [
    ['flex', 'flex', 5],
    ['default', 'flex', 10],
    ['default', 'priority', 10],
    ['priority', undefined, 20],
    ['flex', 'priority', 5],
    ['scale', undefined, 10],
    [undefined, 'flex', 10],
    [undefined, 'priority', 20],
    [undefined, 'auto', 10],
    [undefined, undefined, 10],
  ];
  for (const [told, asked, nanos] of cases) {
    assert.equal(costNanos(usage, finalPrices(of, told, asked)), nanos, `${told} for ${asked}`);
  }
  assert.equal(dearestRates(possiblePrices(of, 'default'), 1).perInputToken, 10);
  assert.equal(dearestRates(possiblePrices(of, undefined), 1).perInputToken, 20);
});

test('the newest prices that are in force apply', () => {
  const of = (input: number): ModelPrices => ({ currency: 'USD', perMillionTokens: { input } });
  const priceChanges = [
    { fromMs: 100, prices: of(2) },
    { fromMs: 200, prices: of(3) },
  ];
  const facts = { name: 'm', reasoningTokens: 'Auto', prices: of(1), priceChanges } as const;
  const inputs = [0, 99, 100, 199, 200, 300].map((at) => pricesAt(facts, at)?.perMillionTokens.input);
  assert.deepEqual(inputs, [1, 1, 2, 2, 3, 3]);
  assert.equal(pricesAt({ name: 'm', reasoningTokens: 'Auto' }, 0), undefined);
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
    imageInput: 0,
    imageOutput: 0,
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

test('a price for each request is due for each unit of a request', () => {
  const of: ModelPrices = { currency: 'USD', perMillionTokens: { input: 0, output: 0 }, perRequest: 7 };
  const costOf = (units: number | undefined) => costNanos(zero, pricesOfUnits(of, units));
  assert.deepEqual([undefined, 0, 1, 3].map(costOf), [7, 0, 7, 21]);
  assert.equal(dearestRates(pricesOfUnits(of, 3), 1).fixed, 21);
  assert.ok(Number.isSafeInteger(costOf(2 ** 40)), 'whatever a provider reports');
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
  imageInput: 0,
  imageOutput: 0,
};
