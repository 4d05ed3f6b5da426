/**
 * Reads LiteLLM's `model_prices_and_context_window.json`: models with `litellm_provider`, in
 * dollars per token.
 */
import type { CatalogKind } from '../../translate/link/catalog.ts';
import { type Findings, type ListEntry, type PriceListFormat, PriceTable } from './price-list.ts';

const kinds: Readonly<Record<string, CatalogKind>> = {
  input_cost_per_token: 'input',
  output_cost_per_token: 'output',
  cache_read_input_token_cost: 'cachedInput',
  // The older name.
  input_cost_per_token_cache_hit: 'cachedInput',
  cache_creation_input_token_cost: 'cacheWriteInput',
  cache_creation_input_token_cost_above_1hr: 'cacheWrite1hInput',
  output_cost_per_reasoning_token: 'reasoningOutput',
  input_cost_per_audio_token: 'audioInput',
  output_cost_per_audio_token: 'audioOutput',
  input_cost_per_image_token: 'imageInput',
  output_cost_per_image_token: 'imageOutput',
};

/** By the ending of a field: the service tier as answers name it. */
const tiers: Readonly<Record<string, string>> = { _batches: 'batch', _flex: 'flex', _priority: 'priority' };

/** The price of a kind, of long input and in a service tier. */
const priceField = /^(.+?)(?:_above_(\d{1,6})k_tokens)?(_batches|_flex|_priority)?$/;

/** Other fields that say what requests cost. */
const costField = /cost|price|multiplier|provider_specific_entry/;

const PRICE_PER_REQUEST = 'input_cost_per_request';

const TOKENS_PER_K = 1_000;

/** The list is per token, an AIBackend per million of them. */
const MILLION = 6;

export const litellm: PriceListFormat = {
  source: 'https://github.com/BerriAI/litellm/blob/main/model_prices_and_context_window.json (MIT licence)',
  fix: 'pass the model_prices_and_context_window.json of LiteLLM',
  entries: (root) =>
    root.fields().flatMap(([name, place]) => {
      // One entry explains the fields.
      const provider = name === 'sample_spec' ? undefined : place.field('litellm_provider')?.text();
      const prefix = `${provider}/`;
      return provider === undefined
        ? []
        : [{ provider, name: name.startsWith(prefix) ? name.slice(prefix.length) : name, place }];
    }),
  read: ({ name, place }, findings) => {
    const maxOutputTokens = place.field('max_output_tokens')?.tokens();
    const inputTokens = place.field('max_input_tokens')?.tokens();
    const contextTokens = inputTokens && Math.max(inputTokens, maxOutputTokens ?? 0);
    return { contextTokens, maxOutputTokens, prices: pricesOf({ name, place }, findings) };
  },
};

function pricesOf({ name, place }: Pick<ListEntry, 'name' | 'place'>, findings: Findings) {
  const table = new PriceTable();
  let isExact = true;
  for (const [field, value] of place.fields()) {
    const [, kindField = '', thousands = '0', ending = ''] = priceField.exec(field) ?? [];
    const kind = Object.hasOwn(kinds, kindField) ? kinds[kindField] : undefined;
    if (kind !== undefined) {
      const price = value.price(MILLION);
      isExact &&= price !== undefined;
      table.set(tiers[ending] ?? '', Number(thousands) * TOKENS_PER_K)[kind] = price ?? '0';
    } else if (field !== PRICE_PER_REQUEST && costField.test(field) && !value.isZero && !value.isFlag) {
      findings.noEqual(field, name);
    }
  }
  const ofRequest = place.field(PRICE_PER_REQUEST);
  const perRequest = ofRequest?.price(0);
  if (!isExact || (ofRequest !== undefined && perRequest === undefined)) {
    findings.noPrices('a price that cannot be written', name);
    return undefined;
  }
  if (place.field('tiered_pricing') !== undefined) {
    findings.noPrices('tiered_pricing', name);
    return undefined;
  }
  return table.listed(perRequest === '0' ? undefined : perRequest);
}
