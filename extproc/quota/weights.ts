/** What a request counts against a limit on weighted tokens, in thousandths of a token. */
import type { TokenWeight } from '../../contract/tokens.ts';
import type { Usage } from '../usage.ts';
import { addTokens, disjointTokens, type FractionSum, roundedUp } from './fractions.ts';
import type { Rates } from './store.ts';

/**
 * Returns the rates of a hold: each token as the kind that counts the most, rounded up to whole
 * thousandths. Factors below 0 lower no hold, because a request may use no tokens of their kind.
 */
export function weightRates(weight: TokenWeight): Rates {
  const { constant, divisor } = weight;
  const rate = (most: number) => Math.max(0, Math.ceil(most / divisor));
  return {
    fixed: rate(constant),
    perInputToken: rate(mostPerInput(weight)),
    perOutputToken: rate(mostPerOutput(weight)),
  };
}

export function weighsInput(weight: TokenWeight): boolean {
  return mostPerInput(weight) > 0;
}

export function weighsOutput(weight: TokenWeight): boolean {
  return mostPerOutput(weight) > 0;
}

function mostPerInput({ perToken }: TokenWeight): number {
  const { input = 0, cachedInput = 0, cacheWriteInput = 0, cacheWrite1hInput = 0 } = perToken;
  const { audioInput = 0, imageInput = 0 } = perToken;
  const written = cacheWriteInput + Math.max(0, cacheWrite1hInput);
  return input + Math.max(0, cachedInput, written, audioInput, imageInput);
}

function mostPerOutput({ perToken }: TokenWeight): number {
  const { output = 0, reasoningOutput = 0, audioOutput = 0, imageOutput = 0 } = perToken;
  return output + Math.max(0, reasoningOutput, audioOutput, imageOutput);
}

/** Returns what a request counts, at least 0, by its kinds of tokens; rounded up once. */
export function weightedTokens(usage: Usage, { perToken, constant, divisor }: TokenWeight): number {
  const tokens = disjointTokens(usage);
  const sum: FractionSum = { whole: 0, parts: constant, divisor };
  addTokens(sum, usage.input, perToken.input ?? 0);
  addTokens(sum, usage.output, perToken.output ?? 0);
  addTokens(sum, tokens.cachedInput, perToken.cachedInput ?? 0);
  addTokens(sum, tokens.cacheWriteInput + tokens.cacheWrite1hInput, perToken.cacheWriteInput ?? 0);
  addTokens(sum, tokens.cacheWrite1hInput, perToken.cacheWrite1hInput ?? 0);
  addTokens(sum, tokens.audioInput, perToken.audioInput ?? 0);
  addTokens(sum, tokens.reasoningOutput, perToken.reasoningOutput ?? 0);
  addTokens(sum, tokens.audioOutput, perToken.audioOutput ?? 0);
  addTokens(sum, tokens.imageInput, perToken.imageInput ?? 0);
  addTokens(sum, tokens.imageOutput, perToken.imageOutput ?? 0);
  return Math.min(Math.max(0, roundedUp(sum)), MAX_WEIGHTED);
}

/** Sums of a few such amounts stay exact. */
const MAX_WEIGHTED = 2 ** 50;
