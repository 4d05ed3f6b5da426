/**
 * The two client APIs that list models, served from the policy. The API families differ only in
 * the body.
 */
import { decimalText } from '../../contract/money.ts';
import type { ProviderApi } from '../../contract/policy.ts';
import type { ModelPrices, PriceTier, TokenPrices } from '../../contract/tokens.ts';
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

/** Returns the prices as lists show them, in decimal numbers; undefined: they are unknown. */
export function shownPrices(prices: ModelPrices | undefined): object | undefined {
  if (prices === undefined) {
    return undefined;
  }
  const { currency, perRequest, serviceTiers } = prices;
  return {
    currency,
    ...shownTier(prices),
    per_request: shown(perRequest),
    service_tiers: serviceTiers?.map((tier) => ({ name: tier.name, ...shownTier(tier) })),
  };
}

function shownTier({ perMillionTokens, longContext }: PriceTier): object {
  return {
    per_million_tokens: shownTokenPrices(perMillionTokens),
    long_context: longContext && {
      above_input_tokens: longContext.aboveInputTokens,
      per_million_tokens: shownTokenPrices(longContext.perMillionTokens),
    },
  };
}

function shownTokenPrices(of: TokenPrices): object {
  return {
    input: shown(of.input),
    output: shown(of.output),
    cached_input: shown(of.cachedInput),
    cache_write_input: shown(of.cacheWriteInput),
    cache_write_1h_input: shown(of.cacheWrite1hInput),
    reasoning_output: shown(of.reasoningOutput),
    audio_input: shown(of.audioInput),
    audio_output: shown(of.audioOutput),
    image_input: shown(of.imageInput),
    image_output: shown(of.imageOutput),
  };
}

function shown(price: number | undefined): string | undefined {
  return price === undefined ? undefined : decimalText(price);
}
