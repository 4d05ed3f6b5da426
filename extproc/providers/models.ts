/**
 * The two client APIs that list models, served from the policy. The API families differ only in
 * the body.
 */
import type { ModelPrices, ProviderApi } from '../../contract/policy.ts';
import { failure } from '../errors.ts';
import type { ClientApi, Dialect, ModelsBody } from './adapter.ts';
import { ownEndpoint } from './own-endpoints.ts';

const LIST_PATH = '/v1/models';

export function modelsEndpoint(
  providerApis: readonly ProviderApi[],
  dialect: Dialect,
  modelsBody: ModelsBody,
): readonly ClientApi[] {
  return [LIST_PATH, `${LIST_PATH}/{model}`].map((path) =>
    ownEndpoint({ path, operation: 'list_models', kind: 'models', providerApis, dialect, modelsBody }),
  );
}

/**
 * Returns the model that a path names; names may contain slashes, escaped or not. Undefined if the
 * path names none.
 */
export function modelOfPath(path: string): string | undefined {
  const name = path.slice(LIST_PATH.length + 1);
  if (name === '') {
    return undefined;
  }
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

export const modelNotServed = failure(
  'model_not_found',
  'No model of this name is served here; GET /v1/models lists them.',
  { param: 'model' },
);

/** Returns the prices as lists show them; undefined: they are unknown. */
export function shownPrices(prices: ModelPrices | undefined): object | undefined {
  if (prices === undefined) {
    return undefined;
  }
  const { input, output, cachedInput, cacheWriteInput, audioInput, audioOutput } = prices.perMillionTokens;
  return {
    currency: prices.currency,
    per_million_tokens: {
      input,
      output,
      cached_input: cachedInput,
      cache_write_input: cacheWriteInput,
      audio_input: audioInput,
      audio_output: audioOutput,
    },
  };
}
