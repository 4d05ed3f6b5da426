/** Converts the token counts of Gemini's responses. */
import { toldTokens } from '../../providers/usage.ts';
import type { Usage } from '../../usage.ts';
import type { JsonRecord } from '../conversation.ts';
import { listOf, recordOf } from '../json-values.ts';

/** Cached tokens are part of the prompt; thoughts are beside the candidates. */
export function geminiUsage(metadata: JsonRecord | undefined): Usage | undefined {
  const prompt = toldTokens(metadata?.['promptTokenCount']);
  const total = toldTokens(metadata?.['totalTokenCount']);
  if (metadata === undefined || (prompt === undefined && total === undefined)) {
    return undefined;
  }
  const thoughts = toldTokens(metadata['thoughtsTokenCount']) ?? 0;
  const told = (toldTokens(metadata['candidatesTokenCount']) ?? 0) + thoughts;
  const input = (prompt ?? 0) + (toldTokens(metadata['toolUsePromptTokenCount']) ?? 0);
  return {
    input,
    // What is billed but not told by kind counts as output.
    output: Math.max(told, (total ?? 0) - input),
    cachedInput: Math.min(toldTokens(metadata['cachedContentTokenCount']) ?? 0, input),
    cacheWriteInput: 0,
    cacheWrite1hInput: 0,
    reasoningOutput: thoughts,
    audioInput: tokensOf('AUDIO', metadata['promptTokensDetails']),
    audioOutput: tokensOf('AUDIO', metadata['candidatesTokensDetails']),
    imageInput: tokensOf('IMAGE', metadata['promptTokensDetails']),
    imageOutput: tokensOf('IMAGE', metadata['candidatesTokensDetails']),
  };
}

function tokensOf(modality: string, details: unknown): number {
  const told = (listOf(details) ?? []).map(recordOf).find((each) => each?.['modality'] === modality);
  return toldTokens(told?.['tokenCount']) ?? 0;
}
