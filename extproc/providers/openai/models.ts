/**
 * `GET /v1/models` and `GET /v1/models/{model}` in OpenAI's form:
 * https://platform.openai.com/docs/api-reference/models
 */
import type { ClientApi, ServedModel } from '../adapter.ts';
import { modelsEndpoint, shownPrices } from '../models.ts';
import { openAiDialect } from './errors.ts';

/**
 * The date and owner of a model are unknown here; clients read the id. OpenAI's own list has no
 * limits and prices; clients of other OpenAI-compatible providers read these names of limits.
 */
function modelObject({ name, contextTokens, maxOutputTokens, prices }: ServedModel): object {
  return {
    id: name,
    object: 'model',
    created: 0,
    owned_by: 'tallygate',
    context_length: contextTokens,
    max_completion_tokens: maxOutputTokens,
    prices: shownPrices(prices),
  };
}

export const models: readonly ClientApi[] = modelsEndpoint({
  listPath: '/v1/models',
  dialect: openAiDialect,
  modelObject,
  list: (served) => ({ object: 'list', data: served.map(modelObject) }),
});
