/**
 * What a request costs, in nano-units of the currency of its model's prices. Prices are nano-units
 * per million tokens, so all numbers are whole and sums are exact (`fractions.ts`).
 */
import type { ModelPrices, TokenPrices } from '../../contract/tokens.ts';
import type { Usage } from '../usage.ts';
import { addTokens, disjointTokens, type FractionSum, roundedUp } from './fractions.ts';
import type { Rates } from './store.ts';

const MILLION = 1_000_000;

/** No request costs more than about a million units; sums of a few such amounts stay exact. */
const MAX_NANOS = 2 ** 50;

/** Whether the prices cover a request. Without a price of its input or output it has no cost. */
export function covers({ perMillionTokens, longContext }: ModelPrices, hasOutput: boolean): boolean {
  return [perMillionTokens, longContext?.perMillionTokens ?? perMillionTokens].every(
    ({ input, output }) => input !== undefined && (!hasOutput || output !== undefined),
  );
}

/** Whether no request costs anything. */
export function isFree({ perMillionTokens, longContext, perRequest = 0 }: ModelPrices): boolean {
  const prices = [perMillionTokens, longContext?.perMillionTokens ?? {}].flatMap((of) => Object.values(of));
  return perRequest === 0 && prices.every((price) => price === 0);
}

/**
 * Returns the rates of a hold: the dearest prices that may apply to a request of at most this
 * input, rounded up to whole nano-units per token. Whatever kinds of tokens the request uses, its
 * cost is at most what these rates hold for their number.
 */
export function dearestRates(prices: ModelPrices, inputTokens: number): Rates {
  const { perMillionTokens: usual, longContext: long, perRequest = 0 } = prices;
  const mayBeLong = long !== undefined && inputTokens > long.aboveInputTokens;
  return {
    fixed: perRequest,
    perInputToken: Math.max(inputRate(usual), mayBeLong ? inputRate(long.perMillionTokens) : 0),
    perOutputToken: Math.max(outputRate(usual), mayBeLong ? outputRate(long.perMillionTokens) : 0),
  };
}

function inputRate(of: TokenPrices): number {
  const { input = 0, cachedInput = 0, cacheWriteInput = 0, cacheWrite1hInput = 0, audioInput = 0 } = of;
  return Math.ceil(Math.max(input, cachedInput, cacheWriteInput, cacheWrite1hInput, audioInput) / MILLION);
}

function outputRate({ output = 0, reasoningOutput = 0, audioOutput = 0 }: TokenPrices): number {
  return Math.ceil(Math.max(output, reasoningOutput, audioOutput) / MILLION);
}

/** Returns the cost of a request by the kinds of tokens that it used, rounded up once. */
export function costNanos(usage: Usage, { perMillionTokens, longContext, perRequest = 0 }: ModelPrices): number {
  const isLong = longContext !== undefined && usage.input > longContext.aboveInputTokens;
  const of = isLong ? longContext.perMillionTokens : perMillionTokens;
  const { input = 0, output = 0 } = of;
  const { cachedInput = input, cacheWriteInput = input, audioInput = input } = of;
  const { cacheWrite1hInput = cacheWriteInput, reasoningOutput = output, audioOutput = output } = of;
  const tokens = disjointTokens(usage);
  const sum: FractionSum = { whole: perRequest, parts: 0, divisor: MILLION };
  addTokens(sum, tokens.input, input);
  addTokens(sum, tokens.cachedInput, cachedInput);
  addTokens(sum, tokens.cacheWriteInput, cacheWriteInput);
  addTokens(sum, tokens.cacheWrite1hInput, cacheWrite1hInput);
  addTokens(sum, tokens.audioInput, audioInput);
  addTokens(sum, tokens.output, output);
  addTokens(sum, tokens.reasoningOutput, reasoningOutput);
  addTokens(sum, tokens.audioOutput, audioOutput);
  return Math.min(roundedUp(sum), MAX_NANOS);
}
