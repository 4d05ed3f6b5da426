/**
 * Exact sums of tokens by their kind. A factor is a whole number divided by a whole number; it is
 * split into a whole part and a remainder, so that sums of usual token counts stay below 2^53.
 */
import type { TokenKind } from '../../contract/tokens.ts';
import type { Usage } from '../usage.ts';

export interface FractionSum {
  whole: number;
  /** Divided by `divisor`. */
  parts: number;
  readonly divisor: number;
}

/** Adds tokens times `factor` ÷ `sum.divisor`. */
export function addTokens(sum: FractionSum, tokens: number, factor: number): void {
  const remainder = factor % sum.divisor;
  sum.whole += tokens * ((factor - remainder) / sum.divisor);
  sum.parts += tokens * remainder;
}

export function roundedUp({ whole, parts, divisor }: FractionSum): number {
  const rest = parts % divisor;
  return whole + (parts - rest) / divisor + (rest > 0 ? 1 : 0);
}

/**
 * Counts each token once, in the most special of its kinds, so that the sum of all is `input` +
 * `output`. Of parts that overlap, such as cached audio, the first one counts; parts beyond their
 * whole are cut.
 */
export function disjointTokens(usage: Usage): Readonly<Record<TokenKind, number>> {
  const cachedInput = Math.min(usage.cachedInput, usage.input);
  const written = Math.min(usage.cacheWriteInput, usage.input - cachedInput);
  const cacheWrite1hInput = Math.min(usage.cacheWrite1hInput, written);
  const audioInput = Math.min(usage.audioInput, usage.input - cachedInput - written);
  const imageInput = Math.min(usage.imageInput, usage.input - cachedInput - written - audioInput);
  const reasoningOutput = Math.min(usage.reasoningOutput, usage.output);
  const audioOutput = Math.min(usage.audioOutput, usage.output - reasoningOutput);
  const imageOutput = Math.min(usage.imageOutput, usage.output - reasoningOutput - audioOutput);
  return {
    input: usage.input - cachedInput - written - audioInput - imageInput,
    cachedInput,
    cacheWriteInput: written - cacheWrite1hInput,
    cacheWrite1hInput,
    audioInput,
    imageInput,
    output: usage.output - reasoningOutput - audioOutput - imageOutput,
    reasoningOutput,
    audioOutput,
    imageOutput,
  };
}
