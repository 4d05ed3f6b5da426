/** Converts the counts in Cohere's responses. */
import { toldTokens } from '../../providers/usage.ts';
import type { Usage } from '../../usage.ts';
import { recordOf } from '../json-values.ts';

/**
 * Returns the billed tokens. They leave out what Cohere adds to the prompt, which `tokens` has;
 * servers that bill nothing report only `tokens`.
 */
export function cohereUsage(value: unknown): Usage | undefined {
  const usage = recordOf(value);
  const billed = recordOf(usage?.['billed_units']);
  const tokens = recordOf(usage?.['tokens']);
  const input = toldTokens(billed?.['input_tokens']) ?? toldTokens(tokens?.['input_tokens']);
  const output = toldTokens(billed?.['output_tokens']) ?? toldTokens(tokens?.['output_tokens']);
  // Embeddings of images.
  const imageInput = toldTokens(billed?.['image_tokens']) ?? 0;
  if (input === undefined && output === undefined && imageInput === 0) {
    return undefined;
  }
  const whole = (input ?? 0) + imageInput;
  return {
    input: whole,
    output: output ?? 0,
    cachedInput: Math.min(toldTokens(usage?.['cached_tokens']) ?? 0, whole),
    cacheWriteInput: 0,
    cacheWrite1hInput: 0,
    reasoningOutput: 0,
    audioInput: 0,
    audioOutput: 0,
    imageInput,
    imageOutput: 0,
  };
}
