/** Tokens that Text Generation Inference reports in `details`. */
import type { Usage } from '../../usage.ts';
import type { UsageNumbers } from '../usage.ts';

/**
 * `prefill` has one entry for each token of the prompt, if the client requested it; later versions
 * report `input_length` in streams.
 */
export function generationUsage(details: UsageNumbers, prefillTokens = 0, otherOutput = 0): Usage | undefined {
  const output = details.get('generated_tokens');
  if (output === undefined) {
    return undefined;
  }
  const input = details.get('input_length') ?? prefillTokens;
  return {
    input,
    output: output + otherOutput,
    cachedInput: 0,
    cacheWriteInput: 0,
    cacheWrite1hInput: 0,
    reasoningOutput: 0,
    audioInput: 0,
    audioOutput: 0,
    imageInput: 0,
    imageOutput: 0,
  };
}
