/**
 * `GET /v1beta/models` and `GET /v1beta/models/{model}` in Google's form, and the same below `/v1`:
 * https://ai.google.dev/api/models
 */
import { type Failure, failure } from '../../errors.ts';
import type { ClientApi, ServedModel } from '../adapter.ts';
import { modelsEndpoint, shownPrices } from '../models.ts';
import { googleDialect } from './errors.ts';

/** As the API defines them. */
const DEFAULT_PAGE = 50;
const LARGEST_PAGE = 1000;

/**
 * What a model is made for is unknown here. Clients show only the models that have the method they
 * need, so each model has all methods.
 */
const METHODS = ['generateContent', 'countTokens', 'embedContent'];

function modelObject({ name, contextTokens, maxOutputTokens, prices }: ServedModel): object {
  return {
    name: `models/${name}`,
    displayName: name,
    inputTokenLimit: contextTokens,
    outputTokenLimit: maxOutputTokens,
    supportedGenerationMethods: METHODS,
    prices: shownPrices(prices),
  };
}

/** The token of a page is the name before it, so a page stays right where a model disappears. */
function modelList(all: readonly ServedModel[], query: URLSearchParams): object | Failure {
  const asked = Number(query.get('pageSize') ?? 0);
  if (!Number.isInteger(asked) || asked < 0) {
    return failure('invalid_value', 'pageSize is not a whole number of at least 0.', { param: 'pageSize' });
  }
  const size = asked === 0 ? DEFAULT_PAGE : Math.min(asked, LARGEST_PAGE);
  const after = query.get('pageToken') ?? '';
  const later = all.filter(({ name }) => name > after);
  const page = later.slice(0, size);
  return {
    models: page.map(modelObject),
    ...(later.length > size && { nextPageToken: page.at(-1)?.name }),
  };
}

export const models: readonly ClientApi[] = ['/v1beta/models', '/v1/models'].flatMap((listPath) =>
  modelsEndpoint({ listPath, dialect: googleDialect, modelObject, list: modelList }),
);
