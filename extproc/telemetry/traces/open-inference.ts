/**
 * The attributes of OpenInference, which Phoenix and Arize read
 * (https://arize-ai.github.io/openinference/spec/semantic_conventions.html).
 */
import { currencyUnits } from '../../../contract/money.ts';
import { PROVIDER_NAMES } from '../names.ts';
import type { PutAttribute } from './span-attributes.ts';
import type { TracedRequest } from './traced-request.ts';

const KINDS: Readonly<Record<string, string>> = { embeddings: 'EMBEDDING', rerank: 'RERANKER' };

export function putOpenInferenceRequest(put: PutAttribute, { caller, agent }: TracedRequest): void {
  put('openinference.span.kind', 'CHAIN');
  put('session.id', agent?.sessionId);
  put('user.id', caller?.user);
}

export function putOpenInferenceAttempt(put: PutAttribute, request: TracedRequest, isLast: boolean): void {
  const { operation = '', schema, model, responseModel, usage, cost, agent, caller } = request;
  const kind = KINDS[operation] ?? 'LLM';
  put('openinference.span.kind', kind);
  put('session.id', agent?.sessionId);
  put('user.id', caller?.user);
  put(modelKeys[kind] ?? 'llm.model_name', (isLast ? responseModel : undefined) ?? model);
  put('llm.provider', isLast && schema !== undefined ? (PROVIDER_NAMES[schema] ?? schema) : undefined);
  if (!isLast || usage === undefined) {
    return;
  }
  put('llm.token_count.prompt', usage.input);
  put('llm.token_count.completion', usage.output);
  put('llm.token_count.total', usage.input + usage.output);
  put('llm.token_count.prompt_details.cache_read', usage.cachedInput || undefined);
  put('llm.token_count.prompt_details.cache_write', usage.cacheWriteInput || undefined);
  put('llm.token_count.prompt_details.audio', usage.audioInput || undefined);
  put('llm.token_count.completion_details.reasoning', usage.reasoningOutput || undefined);
  put('llm.token_count.completion_details.audio', usage.audioOutput || undefined);
  // The conventions count in US dollars.
  put('llm.cost.total', cost?.currency === 'USD' ? currencyUnits(cost.nanos) : undefined);
}

const modelKeys: Readonly<Record<string, string>> = {
  EMBEDDING: 'embedding.model_name',
  RERANKER: 'reranker.model_name',
};
