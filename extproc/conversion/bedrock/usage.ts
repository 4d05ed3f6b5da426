/** Tokens as Bedrock reports them: its input excludes what a cache was read or written for. */
import { toldTokens } from '../../providers/usage.ts';
import type { Usage } from '../../usage.ts';
import { listOf, recordOf } from '../json-values.ts';

export function converseUsage(value: unknown): Usage | undefined {
  const usage = recordOf(value);
  const uncached = toldTokens(usage?.['inputTokens']);
  const output = toldTokens(usage?.['outputTokens']);
  if (usage === undefined || (uncached === undefined && output === undefined)) {
    return undefined;
  }
  const cachedInput = toldTokens(usage['cacheReadInputTokens']) ?? 0;
  const cacheWriteInput = toldTokens(usage['cacheWriteInputTokens']) ?? 0;
  const hour = (listOf(usage['cacheDetails']) ?? []).reduce<number>((sum, each) => {
    const detail = recordOf(each);
    return detail?.['ttl'] === '1h' ? sum + (toldTokens(detail['inputTokens']) ?? 0) : sum;
  }, 0);
  return {
    input: (uncached ?? 0) + cachedInput + cacheWriteInput,
    output: output ?? 0,
    cachedInput,
    cacheWriteInput,
    cacheWrite1hInput: Math.min(hour, cacheWriteInput),
    reasoningOutput: 0,
    audioInput: 0,
    audioOutput: 0,
    imageInput: 0,
    imageOutput: 0,
  };
}
