/** Turns the prices of a list into those of an AIBackend. */
import { nanoUnits } from '../../contract/money.ts';
import type { CatalogKind, CatalogPrices } from '../../translate/link/catalog.ts';

/** Prices of tokens, plain and from more input on. */
export interface PriceSteps {
  readonly plain: CatalogPrices;
  /** By the number of input tokens above which the prices apply; what is missing stays plain. */
  readonly steps: ReadonlyMap<number, CatalogPrices>;
}

export interface ListedPrices extends PriceSteps {
  /** By service tier; what is missing costs as much as without a tier. */
  readonly tiers: ReadonlyMap<string, PriceSteps>;
  readonly perRequest: string | undefined;
}

interface WrittenSteps {
  readonly perMillionTokens: CatalogPrices;
  readonly longContext?: { readonly aboveInputTokens: number; readonly perMillionTokens: CatalogPrices };
}

/** The `prices` of a model of an AIBackend. */
export interface WrittenPrices extends WrittenSteps {
  readonly currency: 'USD';
  readonly perRequest?: string;
  readonly serviceTiers?: readonly ({ readonly name: string } & WrittenSteps)[];
}

/** The order in which kinds are written, and the kind whose price each has by default. */
const defaults: Readonly<Record<CatalogKind, CatalogKind | undefined>> = {
  input: undefined,
  cachedInput: 'input',
  cacheWriteInput: 'input',
  cacheWrite1hInput: 'cacheWriteInput',
  audioInput: 'input',
  imageInput: 'input',
  output: undefined,
  reasoningOutput: 'output',
  audioOutput: 'output',
  imageOutput: 'output',
};

const kinds = Object.keys(defaults) as readonly CatalogKind[];

/** Returns the prices, or why an AIBackend cannot have them. */
export function writtenPrices(listed: ListedPrices): WrittenPrices | string {
  if (listed.plain.input === undefined) {
    return 'no price of input tokens';
  }
  // A special kind that costs the default here follows the default of a tier, too.
  const base = { plain: withoutDefaults(listed.plain), steps: listed.steps };
  const plain = writtenSteps(base, undefined);
  if (typeof plain === 'string') {
    return plain;
  }
  const serviceTiers = [];
  for (const [name, tier] of listed.tiers) {
    const written = writtenSteps(base, tier);
    if (typeof written === 'string') {
      return written;
    }
    serviceTiers.push({ name, ...written });
  }
  const { perRequest } = listed;
  return {
    currency: 'USD',
    ...plain,
    ...(perRequest !== undefined && { perRequest }),
    ...(serviceTiers.length > 0 && { serviceTiers }),
  };
}

/** Completes the prices of a tier, or of none, from those without a tier. */
function writtenSteps(base: PriceSteps, tier: PriceSteps | undefined): WrittenSteps | string {
  const plain = { ...base.plain, ...tier?.plain };
  const starts = [...new Set([...base.steps.keys(), ...(tier?.steps.keys() ?? [])])];
  const [aboveInputTokens, ...others] = starts;
  if (others.length > 0) {
    return 'several steps for long input';
  }
  if (aboveInputTokens === undefined) {
    return { perMillionTokens: withoutDefaults(plain) };
  }
  const long = longPrices(plain, base.steps.get(aboveInputTokens), tier?.steps.get(aboveInputTokens));
  return {
    perMillionTokens: withoutDefaults(plain),
    longContext: { aboveInputTokens, perMillionTokens: withoutDefaults(long) },
  };
}

/** Where a tier has no price for long input, the dearer of its own and the usual one applies. */
function longPrices(plain: CatalogPrices, ofBase: CatalogPrices = {}, ofTier: CatalogPrices = {}): CatalogPrices {
  const long: Partial<Record<CatalogKind, string>> = {};
  for (const kind of kinds) {
    const price = ofTier[kind] ?? dearer(plain[kind], ofBase[kind]);
    if (price !== undefined) {
      long[kind] = price;
    }
  }
  return long;
}

function dearer(one: string | undefined, other: string | undefined): string | undefined {
  return one === undefined || (other !== undefined && nanoUnits(other) > nanoUnits(one)) ? other : one;
}

/** Leaves out the kinds that cost as much as they would by default. */
function withoutDefaults(prices: CatalogPrices): CatalogPrices {
  const priceOf = (kind: CatalogKind | undefined): string | undefined =>
    kind === undefined ? undefined : (prices[kind] ?? priceOf(defaults[kind]));
  return Object.fromEntries(
    kinds
      .filter((kind) => prices[kind] !== undefined && prices[kind] !== priceOf(defaults[kind]))
      .map((kind) => [kind, prices[kind]]),
  );
}

/** Whether requests at these prices cost nothing. */
export function areFree({
  perMillionTokens,
  longContext,
  perRequest = '0',
  serviceTiers = [],
}: WrittenPrices): boolean {
  const sets = [{ perMillionTokens, longContext }, ...serviceTiers];
  const all = sets.flatMap((each) => [each.perMillionTokens, each.longContext?.perMillionTokens ?? {}]);
  return [perRequest, ...all.flatMap((prices) => Object.values(prices))].every((price) => price === '0');
}
