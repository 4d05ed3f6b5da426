/**
 * `GET /v1/models` and `GET /v1/models/{model}` as OpenAI answers them:
 * https://platform.openai.com/docs/api-reference/models
 */
import { failure } from '../../errors.ts';
import type { ClientApi, ServedModels } from '../adapter.ts';
import { modelOfPath, modelsEndpoint } from '../models.ts';
import { openAiDialect } from './errors.ts';

/** The date and owner of a model are unknown here; clients read the id. */
function modelObject(id: string): object {
  return { id, object: 'model', created: 0, owned_by: 'tallygate' };
}

function modelsBody({ names, serves }: ServedModels, path: string) {
  const wanted = modelOfPath(path);
  if (wanted === undefined) {
    return Buffer.from(JSON.stringify({ object: 'list', data: names.map(modelObject) }));
  }
  if (serves(wanted)) {
    return Buffer.from(JSON.stringify(modelObject(wanted)));
  }
  return failure('model_not_found', 'No model of this name is served here; GET /v1/models lists them.', {
    param: 'model',
  });
}

export const models: readonly ClientApi[] = modelsEndpoint(['OpenAI', 'HuggingFaceTGI'], openAiDialect, modelsBody);
