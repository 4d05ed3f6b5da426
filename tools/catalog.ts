/**
 * Writes translate/gen/catalog.json from the price list of genai-prices. Leaves out prices that
 * Tallygate cannot apply exactly: with several tiers or by the time of day, or for kinds of usage
 * that it does not count, such as video or audio from a cache. Fees of tools, such as web searches,
 * are no prices of a model and are left out too. The list has no service tiers.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import {
  findProvider,
  type MatchLogic,
  type ModelInfo,
  type ModelPrice,
  type TieredPrices,
} from '@pydantic/genai-prices';
import { catalogNames } from '../crds/backend.ts';
import type { CatalogKind, CatalogModel, PriceCatalog } from '../translate/link/catalog.ts';

const kinds: Readonly<Record<string, CatalogKind>> = {
  input_mtok: 'input',
  output_mtok: 'output',
  cache_read_mtok: 'cachedInput',
  cache_write_mtok: 'cacheWriteInput',
  cache_write_1h_mtok: 'cacheWrite1hInput',
  output_reasoning_mtok: 'reasoningOutput',
  input_audio_mtok: 'audioInput',
  output_audio_mtok: 'audioOutput',
  input_image_mtok: 'imageInput',
  output_image_mtok: 'imageOutput',
};

/** Input of other kinds from a cache counts as cached input. */
const cachedKinds: readonly string[] = ['cache_audio_read_mtok', 'cache_image_read_mtok'];

const toolFees: readonly string[] = ['web_searches_kcount', 'storage_searches_kcount'];

/** Returns the prices in force on a day; undefined: they depend on more than the day. */
function pricesOn({ prices }: ModelInfo, date: string): ModelPrice | undefined {
  if (!Array.isArray(prices)) {
    return prices;
  }
  let inForce: ModelPrice | undefined;
  let since = '';
  for (const { constraint, prices: each } of prices) {
    if (constraint !== undefined && constraint.type !== 'start_date') {
      return undefined;
    }
    const start = constraint?.start_date ?? '';
    if (start <= date && start >= since) {
      [inForce, since] = [each, start];
    }
  }
  return inForce;
}

/** Returns undefined for prices that Tallygate cannot apply exactly. */
function catalogPrices(prices: ModelPrice | undefined): CatalogModel['prices'] {
  const perMillionTokens: Partial<Record<CatalogKind, string>> = {};
  const long: Partial<Record<CatalogKind, string>> = {};
  const starts = new Set<number>();
  let perRequest: string | undefined;
  for (const [unit, price] of Object.entries(prices ?? {})) {
    const isCachedInput = cachedKinds.includes(unit) && price === prices?.['cache_read_mtok'];
    if (price === undefined || isCachedInput || toolFees.includes(unit)) {
      continue;
    }
    if (unit === 'requests_kcount' && typeof price === 'number') {
      perRequest = decimalOf(price / 1000);
      if (perRequest === undefined) {
        return undefined;
      }
      continue;
    }
    const kind = kinds[unit];
    const [base, above] = typeof price === 'number' ? [price, price] : twoTiers(price, starts);
    const decimals = [base, above].map(decimalOf);
    if (kind === undefined || decimals[0] === undefined || decimals[1] === undefined) {
      return undefined;
    }
    [perMillionTokens[kind], long[kind]] = [decimals[0], decimals[1]];
  }
  const [aboveInputTokens, ...others] = starts;
  if (perMillionTokens.input === undefined || others.length > 0) {
    return undefined;
  }
  return {
    currency: 'USD',
    perMillionTokens,
    ...(aboveInputTokens !== undefined && { longContext: { aboveInputTokens, perMillionTokens: long } }),
    ...(perRequest !== undefined && { perRequest }),
  };
}

/** Returns the prices up to and above the start of the only tier; NaN: there are several. */
function twoTiers({ base, tiers }: TieredPrices, starts: Set<number>): readonly [number, number] {
  const [tier, ...others] = tiers;
  if (tier === undefined || others.length > 0) {
    return [Number.NaN, Number.NaN];
  }
  starts.add(tier.start);
  return [base, tier.price];
}

/** Writes a price with at most nine decimal places; undefined: it needs more. */
function decimalOf(price: number): string | undefined {
  const text = price.toFixed(9).replace(/\.?0+$/, '');
  // False for NaN.
  return Math.abs(Number(text) - price) <= price * 1e-12 ? text : undefined;
}

/** Returns exact names and globs; a condition without such a form is left out. */
function namesOf(match: MatchLogic): readonly string[] {
  if ('or' in match) {
    return match.or.flatMap(namesOf);
  }
  if ('equals' in match) {
    return [match.equals];
  }
  if ('starts_with' in match) {
    return [`${match.starts_with}*`];
  }
  // Dated versions of a model, such as claude-opus-5-20260101.
  const dated = 'regex' in match ? /^\^([\w.-]+-)\\d\{8\}\$$/.exec(match.regex) : null;
  return dated === null ? [] : [`${dated[1]}20*`];
}

function modelsOf(provider: string, date: string): readonly CatalogModel[] {
  const found = new Map<string, CatalogModel>();
  for (const model of findProvider({ providerId: provider })?.models ?? []) {
    const prices = catalogPrices(pricesOn(model, date));
    const contextTokens = model.context_window;
    for (const name of namesOf(model.match).filter((each) => !found.has(each))) {
      // A model without prices stays, so that no shorter glob prices it.
      found.set(name, { name, ...(contextTokens !== undefined && { contextTokens }), ...(prices && { prices }) });
    }
  }
  return [...found.values()].sort(bySpecificity);
}

function bySpecificity({ name: one }: CatalogModel, { name: other }: CatalogModel): number {
  const [oneGlob, otherGlob] = [one.endsWith('*'), other.endsWith('*')];
  return Number(oneGlob) - Number(otherGlob) || (oneGlob ? other.length - one.length : 0) || (one < other ? -1 : 1);
}

const folder = new URL('../node_modules/@pydantic/genai-prices/', import.meta.url);
const { version } = JSON.parse(readFileSync(new URL('package.json', folder), 'utf8')) as { version: string };
const date = new Date().toISOString().slice(0, 10);
const providers = Object.fromEntries(catalogNames.map((name) => [name, modelsOf(name, date)]));
const catalog: PriceCatalog = {
  source: `genai-prices ${version}`,
  date,
  notice: readFileSync(new URL('LICENSE', folder), 'utf8'),
  providers: providers as PriceCatalog['providers'],
};
// One model on each line, so that a diff shows what changed.
const lines = JSON.stringify(catalog, undefined, 0).replaceAll('{"name"', '\n{"name"');
writeFileSync(new URL('../translate/gen/catalog.json', import.meta.url), `${lines}\n`);
