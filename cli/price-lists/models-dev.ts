/** Reads the `api.json` of models.dev: models by provider, in dollars per million tokens. */
import type { CatalogKind } from '../../translate/link/catalog.ts';
import type { JsonPlace } from './json-place.ts';
import { type Findings, type GrowingPrices, type ListEntry, type PriceListFormat, PriceTable } from './price-list.ts';

const kinds: Readonly<Record<string, CatalogKind>> = {
  input: 'input',
  output: 'output',
  reasoning: 'reasoningOutput',
  cache_read: 'cachedInput',
  cache_write: 'cacheWriteInput',
  input_audio: 'audioInput',
  output_audio: 'audioOutput',
};

/** The start of `context_over_200k`, which older lists have instead of `tiers`. */
const LONG_CONTEXT_TOKENS = 200_000;

export const modelsDev: PriceListFormat = {
  source: 'https://models.dev/api.json (MIT licence)',
  fix: 'pass the api.json of models.dev',
  entries: (root) =>
    root.fields().flatMap(([provider, each]) =>
      each
        .required('models')
        .fields()
        .map(([name, place]) => ({ provider, name, place })),
    ),
  read: ({ name, place }, findings) => {
    const limit = place.field('limit');
    const contextTokens = limit?.field('context')?.tokens();
    const inputTokens = limit?.field('input')?.tokens();
    if (inputTokens !== undefined && inputTokens !== contextTokens) {
      findings.noEqual('limit.input', name);
    }
    const maxOutputTokens = limit?.field('output')?.tokens();
    const cost = place.field('cost');
    if (cost === undefined) {
      findings.noPrices('no cost', name);
    }
    const prices = cost && pricesOf({ name, place }, cost, findings);
    return { contextTokens, maxOutputTokens, prices };
  },
};

function pricesOf({ name, place }: Pick<ListEntry, 'name' | 'place'>, cost: JsonPlace, findings: Findings) {
  const table = new PriceTable();
  let isExact = readCost(table, '', cost, (field) => findings.noEqual(`cost.${field}`, name));
  for (const [mode, each] of place.field('experimental')?.field('modes')?.fields() ?? []) {
    const tier = each.field('provider')?.field('body')?.field('service_tier')?.text();
    const ofMode = each.field('cost');
    const where = `experimental.modes.${mode}`;
    if (tier === undefined || !/^[\w.-]{1,64}$/.test(tier)) {
      findings.noEqual(where, name);
    } else if (ofMode !== undefined) {
      isExact = readCost(table, tier, ofMode, (field) => findings.noEqual(`${where}.cost.${field}`, name)) && isExact;
    }
  }
  if (!isExact) {
    findings.noPrices('a price that cannot be written', name);
    return undefined;
  }
  return table.listed(undefined);
}

/** Reads the prices of a service tier. Returns false if one cannot be written. */
function readCost(table: PriceTable, tier: string, cost: JsonPlace, noEqual: (field: string) => void): boolean {
  let isExact = readKinds(table.set(tier, 0), cost, noEqual);
  const tiers = cost.field('tiers')?.items() ?? [];
  for (const each of tiers) {
    const step = each.required('tier');
    const above = step.required('size').tokens();
    if (step.required('type').text() !== 'context' || above === undefined) {
      return false;
    }
    isExact = readKinds(table.set(tier, above), each, noEqual) && isExact;
  }
  const long = tiers.length === 0 ? cost.field('context_over_200k') : undefined;
  return (long === undefined || readKinds(table.set(tier, LONG_CONTEXT_TOKENS), long, noEqual)) && isExact;
}

const structure: readonly string[] = ['tier', 'tiers', 'context_over_200k'];

function readKinds(prices: GrowingPrices, cost: JsonPlace, noEqual: (field: string) => void): boolean {
  let isExact = true;
  for (const [field, place] of cost.fields()) {
    const kind = Object.hasOwn(kinds, field) ? kinds[field] : undefined;
    if (kind !== undefined) {
      const price = place.price(0);
      isExact &&= price !== undefined;
      prices[kind] = price ?? '0';
    } else if (!structure.includes(field) && !place.isZero) {
      noEqual(field);
    }
  }
  return isExact;
}
