/** Tokens as Text Generation Inference tells them in `details`. */
import type { Usage } from '../../usage.ts';
import type { Numbers } from '../usage.ts';

/** `prefill` has one entry for each token of the prompt, where the client asked for them; later versions tell `input_length` in streams. */
export function generationUsage(details: Numbers, prefillTokens = 0, otherOutput = 0): Usage | undefined {
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
    reasoningOutput: 0,
    audioInput: 0,
    audioOutput: 0,
  };
}
