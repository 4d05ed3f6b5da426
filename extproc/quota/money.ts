/**
 * What a request costs, in nano-units of the currency of its model's prices. All numbers are whole:
 * a price is split into nano-units per token and a remainder in millionths of one, so that sums of
 * usual token counts stay below 2^53 and are exact.
 */
import type { ModelPrices, TokenPrices } from '../../contract/policy.ts';
import type { Usage } from '../usage.ts';
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
  // Parts that overlap, such as cached audio, count once, as the first of them.
  const cached = Math.min(usage.cachedInput, usage.input);
  const written = Math.min(usage.cacheWriteInput, usage.input - cached);
  const written1h = Math.min(usage.cacheWrite1hInput, written);
  const heard = Math.min(usage.audioInput, usage.input - cached - written);
  const reasoned = Math.min(usage.reasoningOutput, usage.output);
  const spoken = Math.min(usage.audioOutput, usage.output - reasoned);
  const sum = { nanos: perRequest, millionths: 0 };
  add(sum, usage.input - cached - written - heard, input);
  add(sum, cached, cachedInput);
  add(sum, written - written1h, cacheWriteInput);
  add(sum, written1h, cacheWrite1hInput);
  add(sum, heard, audioInput);
  add(sum, usage.output - reasoned - spoken, output);
  add(sum, reasoned, reasoningOutput);
  add(sum, spoken, audioOutput);
  const rest = sum.millionths % MILLION;
  return Math.min(sum.nanos + (sum.millionths - rest) / MILLION + (rest > 0 ? 1 : 0), MAX_NANOS);
}

interface NanoSum {
  nanos: number;
  /** Of a nano-unit. */
  millionths: number;
}

function add(sum: NanoSum, tokens: number, price: number): void {
  const remainder = price % MILLION;
  sum.nanos += tokens * ((price - remainder) / MILLION);
  sum.millionths += tokens * remainder;
}
