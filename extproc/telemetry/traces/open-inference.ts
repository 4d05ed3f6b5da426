/**
 * The attributes of OpenInference, which Phoenix and Arize read
 * (https://arize-ai.github.io/openinference/spec/semantic_conventions.html).
 */
import { currencyUnits } from '../../../contract/money.ts';
import { PROVIDER_NAMES } from '../names.ts';
import type { SpanAttributes } from './span-attributes.ts';
import type { TracedRequest } from './traced-request.ts';

const KINDS: Readonly<Record<string, string>> = { embeddings: 'EMBEDDING', rerank: 'RERANKER' };

export function openInferenceRequest({ caller, agent }: TracedRequest): SpanAttributes {
  return {
    'openinference.span.kind': 'CHAIN',
    'session.id': agent?.sessionId,
    'user.id': caller?.user,
  };
}

export function openInferenceAttempt(request: TracedRequest, isLast: boolean): SpanAttributes {
  const { operation = '', schema, model, responseModel, usage, cost, agent, caller } = request;
  const kind = KINDS[operation] ?? 'LLM';
  const name = (isLast ? responseModel : undefined) ?? model;
  const present = (tokens: number | undefined) => tokens || undefined;
  const common = {
    'openinference.span.kind': kind,
    'session.id': agent?.sessionId,
    'user.id': caller?.user,
    [modelKeys[kind] ?? 'llm.model_name']: name,
    'llm.provider': isLast && schema !== undefined ? (PROVIDER_NAMES[schema] ?? schema) : undefined,
  };
  if (!isLast || usage === undefined) {
    return common;
  }
  return {
    ...common,
    'llm.token_count.prompt': usage.input,
    'llm.token_count.completion': usage.output,
    'llm.token_count.total': usage.input + usage.output,
    'llm.token_count.prompt_details.cache_read': present(usage.cachedInput),
    'llm.token_count.prompt_details.cache_write': present(usage.cacheWriteInput),
    'llm.token_count.prompt_details.audio': present(usage.audioInput),
    'llm.token_count.completion_details.reasoning': present(usage.reasoningOutput),
    'llm.token_count.completion_details.audio': present(usage.audioOutput),
    // The conventions count in US dollars.
    'llm.cost.total': cost?.currency === 'USD' ? currencyUnits(cost.nanos) : undefined,
  };
}

const modelKeys: Readonly<Record<string, string>> = {
  EMBEDDING: 'embedding.model_name',
  RERANKER: 'reranker.model_name',
};
