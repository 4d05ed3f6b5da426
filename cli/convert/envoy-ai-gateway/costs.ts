/** What `llmRequestCosts` count becomes types of limits. */
import { weightFault } from '../../../contract/weight.ts';
import type { SourceField } from '../source-field.ts';

export type CountedCost = { readonly type: string; readonly weight?: string };

const types: Readonly<Record<string, CountedCost>> = {
  InputToken: { type: 'InputTokens' },
  OutputToken: { type: 'OutputTokens' },
  TotalToken: { type: 'TotalTokens' },
  CachedInputToken: { type: 'WeightedTokens', weight: 'usage.cachedInput' },
  CacheCreationInputToken: { type: 'WeightedTokens', weight: 'usage.cacheWriteInput' },
  CachedWriteInputToken: { type: 'WeightedTokens', weight: 'usage.cacheWriteInput' },
  CachedCreationInputToken: { type: 'WeightedTokens', weight: 'usage.cacheWriteInput' },
  ReasoningToken: { type: 'WeightedTokens', weight: 'usage.reasoningOutput' },
};

const variables: Readonly<Record<string, string>> = {
  input_tokens: 'usage.input',
  output_tokens: 'usage.output',
  cached_input_tokens: 'usage.cachedInput',
  cache_creation_input_tokens: 'usage.cacheWriteInput',
  reasoning_tokens: 'usage.reasoningOutput',
  total_tokens: '(usage.input + usage.output)',
};

/** Undefined if a limit cannot count it; the field then says why. */
export function costLimit(cost: SourceField): CountedCost | undefined {
  const type = cost.at('type')?.text ?? '';
  const found =
    type === 'CEL' ? expressionLimit(cost.at('cel'), cost) : Object.hasOwn(types, type) ? types[type] : undefined;
  if (found === undefined && type !== 'CEL') {
    cost.hasNoEqual('no limit counts this', 'use WeightedTokens with a weight');
  }
  return found;
}

/** Undefined if the weight of a limit cannot have the form of the expression. */
export function expressionLimit(field: SourceField | undefined, owner = field): CountedCost | undefined {
  const text = field?.text ?? '';
  const weight = text
    .replaceAll(/\b(?:uint|int|double)\(([^()]*)\)/g, '($1)')
    .replaceAll(/\b([0-9]+)u\b/g, '$1')
    .replaceAll(/\b[a-z_]+\b/g, (word) => variables[word] ?? word);
  if (weight.trim() === '(usage.input + usage.output)') {
    return { type: 'TotalTokens' };
  }
  if (weight.length > 1024 || weightFault(weight) !== undefined) {
    const fix = 'write a weight that adds kinds of tokens, and a quota with when for each model';
    owner?.hasNoEqual('a weight has no conditions, models and products of tokens', fix);
    return undefined;
  }
  return { type: 'WeightedTokens', weight };
}
