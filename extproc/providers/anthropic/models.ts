/**
 * `GET /v1/models` and `GET /v1/models/{model}` in Anthropic's form:
 * https://platform.claude.com/docs/en/api/models-list
 */
import { type Failure, failure, isFailure } from '../../errors.ts';
import type { ClientApi, ServedModel } from '../adapter.ts';
import { modelsEndpoint, shownPrices } from '../models.ts';
import { anthropicDialect } from './errors.ts';

/** As the API defines them. */
const DEFAULT_PAGE = 20;
const LARGEST_PAGE = 1000;

/**
 * The API requires all members but `prices`; unknown ones are null, and an unknown date is 1970.
 */
function modelObject({ name, contextTokens, maxOutputTokens, prices }: ServedModel): object {
  return {
    type: 'model',
    id: name,
    display_name: name,
    created_at: '1970-01-01T00:00:00Z',
    max_input_tokens: contextTokens ?? null,
    max_tokens: maxOutputTokens ?? null,
    capabilities: null,
    lifecycle: 'active',
    deprecated_at: null,
    retires_at: null,
    line: null,
    prices: shownPrices(prices),
  };
}

interface Page {
  readonly models: readonly ServedModel[];
  /** Whether the list goes on in the direction of the cursor. */
  readonly more: boolean;
}

/**
 * A cursor is a name: a page stays right where a model appears or disappears between two requests.
 */
function pageOf(all: readonly ServedModel[], query: URLSearchParams): Page | Failure {
  const limit = Number(query.get('limit') ?? DEFAULT_PAGE);
  if (!Number.isInteger(limit) || limit < 1 || limit > LARGEST_PAGE) {
    return failure('invalid_value', `limit is not a whole number from 1 to ${LARGEST_PAGE}.`, { param: 'limit' });
  }
  const after = query.get('after_id');
  const before = query.get('before_id');
  if (after !== null && before !== null) {
    return failure('invalid_value', 'after_id and before_id exclude each other. Send one.', { param: 'before_id' });
  }
  if (before !== null) {
    const earlier = all.filter(({ name }) => name < before);
    return { models: earlier.slice(-limit), more: earlier.length > limit };
  }
  const later = after === null ? all : all.filter(({ name }) => name > after);
  return { models: later.slice(0, limit), more: later.length > limit };
}

function modelList(served: readonly ServedModel[], query: URLSearchParams): object | Failure {
  const page = pageOf(served, query);
  if (isFailure(page)) {
    return page;
  }
  const { models, more } = page;
  return {
    data: models.map(modelObject),
    has_more: more,
    first_id: models[0]?.name ?? null,
    last_id: models.at(-1)?.name ?? null,
  };
}

export const models: readonly ClientApi[] = modelsEndpoint({
  listPath: '/v1/models',
  dialect: anthropicDialect,
  modelObject,
  list: modelList,
});
