/**
 * What a request costs, in nano-units of the currency of its model's prices. Prices are nano-units
 * per million tokens, so all numbers are whole and sums are exact (`fractions.ts`).
 */
import type { ModelFacts } from '../../contract/policy.ts';
import type { ModelPrices, PriceTier, TokenPrices } from '../../contract/tokens.ts';
import type { Usage } from '../usage.ts';
import { addTokens, disjointTokens, type FractionSum, roundedUp } from './fractions.ts';
import type { Rates } from './store.ts';

const MILLION = 1_000_000;

/** No request costs more than about a million units; sums of a few such amounts stay exact. */
const MAX_NANOS = 2 ** 50;

/** Returns the prices of a model that are in force. */
export function pricesAt({ prices, priceChanges }: ModelFacts, nowMs: number): ModelPrices | undefined {
  return priceChanges?.findLast(({ fromMs }) => fromMs <= nowMs)?.prices ?? prices;
}

/**
 * Returns the prices that may apply to a request that asks for a service tier. Without one, and
 * with `auto`, settings at the provider decide, so all tiers may apply. A provider may always serve
 * a request without its tier.
 */
export function possiblePrices(prices: ModelPrices, asked: string | undefined): ModelPrices {
  const { serviceTiers, ...plain } = prices;
  if (serviceTiers === undefined || asked === undefined || asked === 'auto') {
    return prices;
  }
  const tier = serviceTiers.find(({ name }) => name === asked);
  return tier === undefined ? plain : { ...plain, serviceTiers: [tier] };
}

/**
 * Returns the prices that did apply, by the tier that the answer names. Where it names none, plain
 * prices or those of the tier that was asked for apply, whichever are dearer.
 */
export function finalPrices(prices: ModelPrices, told: string | undefined, asked: string | undefined): ModelPrices {
  const { serviceTiers, longContext, ...plain } = prices;
  if (serviceTiers === undefined) {
    return prices;
  }
  if (told === undefined) {
    return possiblePrices(prices, asked === undefined || asked === 'auto' ? 'default' : asked);
  }
  const tier = serviceTiers.find(({ name }) => name === told);
  if (tier === undefined) {
    return longContext === undefined ? plain : { ...plain, longContext };
  }
  const { name, ...ofTier } = tier;
  return { ...plain, ...ofTier };
}

/** No provider bills more images or search units for one request. */
const MAX_PRICE_UNITS = 10_000;

/** Returns prices whose price for each request is due for this many units. */
export function pricesOfUnits(prices: ModelPrices, units = 1): ModelPrices {
  const { perRequest = 0 } = prices;
  return units === 1 || perRequest === 0
    ? prices
    : { ...prices, perRequest: Math.min(perRequest * Math.min(units, MAX_PRICE_UNITS), MAX_NANOS) };
}

/** Whether the prices cover a request. Without a price of its input or output it has no cost. */
export function covers(prices: ModelPrices, hasOutput: boolean): boolean {
  return allTokenPrices(prices).every(
    ({ input, output }) => input !== undefined && (!hasOutput || output !== undefined),
  );
}

/** Whether no request costs anything. */
export function isFree(prices: ModelPrices): boolean {
  const { perRequest = 0 } = prices;
  return perRequest === 0 && allTokenPrices(prices).every((of) => Object.values(of).every((price) => price === 0));
}

function allTokenPrices(prices: ModelPrices): readonly TokenPrices[] {
  return [prices, ...(prices.serviceTiers ?? [])].flatMap(({ perMillionTokens, longContext }) =>
    longContext === undefined ? [perMillionTokens] : [perMillionTokens, longContext.perMillionTokens],
  );
}

/**
 * Returns the rates of a hold: the dearest prices that may apply to a request of at most this
 * input, rounded up to whole nano-units per token. Whatever kinds of tokens the request uses, its
 * cost is at most what these rates hold for their number.
 */
export function dearestRates(prices: ModelPrices, inputTokens: number): Rates {
  const { perRequest = 0, serviceTiers = [] } = prices;
  let perInputToken = 0;
  let perOutputToken = 0;
  const raise = (of: TokenPrices) => {
    perInputToken = Math.max(perInputToken, inputRate(of));
    perOutputToken = Math.max(perOutputToken, outputRate(of));
  };
  for (const { perMillionTokens, longContext } of [prices, ...serviceTiers]) {
    raise(perMillionTokens);
    if (longContext !== undefined && inputTokens > longContext.aboveInputTokens) {
      raise(longContext.perMillionTokens);
    }
  }
  return { fixed: perRequest, perInputToken, perOutputToken };
}

function inputRate(of: TokenPrices): number {
  const { input = 0, cachedInput = 0, cacheWriteInput = 0, cacheWrite1hInput = 0 } = of;
  const { audioInput = 0, imageInput = 0 } = of;
  const most = Math.max(input, cachedInput, cacheWriteInput, cacheWrite1hInput, audioInput, imageInput);
  return Math.ceil(most / MILLION);
}

function outputRate({ output = 0, reasoningOutput = 0, audioOutput = 0, imageOutput = 0 }: TokenPrices): number {
  return Math.ceil(Math.max(output, reasoningOutput, audioOutput, imageOutput) / MILLION);
}

/**
 * Returns the cost of a request by the kinds of tokens that it used, rounded up once: the dearest
 * of all service tiers that these prices have.
 */
export function costNanos(usage: Usage, prices: ModelPrices): number {
  const { perRequest = 0, serviceTiers = [] } = prices;
  let nanos = tierNanos(usage, prices, perRequest);
  for (const tier of serviceTiers) {
    nanos = Math.max(nanos, tierNanos(usage, tier, perRequest));
  }
  return nanos;
}

function tierNanos(usage: Usage, { perMillionTokens, longContext }: PriceTier, perRequest: number): number {
  const isLong = longContext !== undefined && usage.input > longContext.aboveInputTokens;
  const of = isLong ? longContext.perMillionTokens : perMillionTokens;
  const { input = 0, output = 0 } = of;
  const { cachedInput = input, cacheWriteInput = input, audioInput = input, imageInput = input } = of;
  const { reasoningOutput = output, audioOutput = output, imageOutput = output } = of;
  const { cacheWrite1hInput = cacheWriteInput } = of;
  const tokens = disjointTokens(usage);
  const sum: FractionSum = { whole: perRequest, parts: 0, divisor: MILLION };
  addTokens(sum, tokens.input, input);
  addTokens(sum, tokens.cachedInput, cachedInput);
  addTokens(sum, tokens.cacheWriteInput, cacheWriteInput);
  addTokens(sum, tokens.cacheWrite1hInput, cacheWrite1hInput);
  addTokens(sum, tokens.audioInput, audioInput);
  addTokens(sum, tokens.imageInput, imageInput);
  addTokens(sum, tokens.output, output);
  addTokens(sum, tokens.reasoningOutput, reasoningOutput);
  addTokens(sum, tokens.audioOutput, audioOutput);
  addTokens(sum, tokens.imageOutput, imageOutput);
  return Math.min(roundedUp(sum), MAX_NANOS);
}
