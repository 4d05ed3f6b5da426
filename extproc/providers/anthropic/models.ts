/**
 * `GET /v1/models` and `GET /v1/models/{model}` as Anthropic answers them:
 * https://platform.claude.com/docs/en/api/models-list
 */
import { failure } from '../../errors.ts';
import type { ClientApi, ServedModels } from '../adapter.ts';
import { modelOfPath, modelsEndpoint } from '../models.ts';
import { anthropicDialect } from './errors.ts';

/** The epoch stands for an unknown release date, as the API defines it. */
function modelObject(id: string): object {
  return { type: 'model', id, display_name: id, created_at: '1970-01-01T00:00:00Z' };
}

function modelsBody({ names, serves }: ServedModels, path: string) {
  const wanted = modelOfPath(path);
  if (wanted === undefined) {
    const list = {
      data: names.map(modelObject),
      has_more: false,
      first_id: names[0] ?? null,
      last_id: names.at(-1) ?? null,
    };
    return Buffer.from(JSON.stringify(list));
  }
  if (serves(wanted)) {
    return Buffer.from(JSON.stringify(modelObject(wanted)));
  }
  return failure('model_not_found', 'No model of this name is served here; GET /v1/models lists them.', {
    param: 'model',
  });
}

export const models: readonly ClientApi[] = modelsEndpoint(['Anthropic'], anthropicDialect, modelsBody);
