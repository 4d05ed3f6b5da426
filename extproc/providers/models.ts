/**
 * The client APIs that list models, served from the policy. The API families differ only in the
 * body.
 */
import { decimalText } from '../../contract/money.ts';
import type { ProviderApi } from '../../contract/policy.ts';
import type { ModelPrices, PriceTier, TokenPrices } from '../../contract/tokens.ts';
import { type Failure, failure, isFailure } from '../errors.ts';
import type { ClientApi, Dialect, ServedModel, ServedModels } from './adapter.ts';
import { ownEndpoint } from './own-endpoints.ts';

/** How an API family shows models. */
interface ModelsForm {
  readonly listPath: string;
  readonly dialect: Dialect;
  /** Returns what shows one model, also in lists. */
  modelObject(model: ServedModel): object;
  /** `query` may ask for a page of the list. */
  list(models: readonly ServedModel[], query: URLSearchParams): object | Failure;
}

/** Models of all of them are listed, because requests are converted. */
const providerApis: readonly ProviderApi[] = [
  ...(['OpenAI', 'HuggingFaceTGI', 'Anthropic', 'AWSBedrock', 'GoogleGemini', 'GCPVertexAI'] as const),
  ...(['AzureOpenAI', 'Cohere'] as const),
];

/** Returns the endpoints of the list and of one model. */
export function modelsEndpoint(form: ModelsForm): readonly ClientApi[] {
  const { dialect, listPath } = form;
  const modelsBody = (models: ServedModels, path: string, query: URLSearchParams) => {
    const shown = shownModels(form, models, path, query);
    return isFailure(shown) ? shown : Buffer.from(JSON.stringify(shown));
  };
  return [listPath, `${listPath}/{model}`].map((path) =>
    ownEndpoint({ path, operation: 'list_models', kind: 'models', providerApis, dialect, modelsBody }),
  );
}

function shownModels(form: ModelsForm, models: ServedModels, path: string, query: URLSearchParams): object | Failure {
  const wanted = modelOfPath(path, form.listPath);
  if (wanted === undefined) {
    return form.list(models.list(), query);
  }
  const model = models.find(wanted);
  if (model !== undefined) {
    return form.modelObject(model);
  }
  const message = `No model of this name is served here; GET ${form.listPath} lists them.`;
  return failure('model_not_found', message, { param: 'model' });
}

/**
 * Returns the model that a path names; names may contain slashes, escaped or not. Undefined if the
 * path names none.
 */
function modelOfPath(path: string, listPath: string): string | undefined {
  const name = path.slice(listPath.length + 1);
  if (name === '') {
    return undefined;
  }
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

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
