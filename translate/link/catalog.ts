/** The price lists of providers that Tallygate ships; `make catalog` writes them. */
import type { CatalogName } from '../../crds/backend.ts';
import catalog from '../gen/catalog.json' with { type: 'json' };

export interface CatalogModel {
  /**
   * Exact, or the beginning of names with `*`. Exact names come first, then longer globs before
   * shorter ones.
   */
  readonly name: string;
  readonly contextTokens?: number;
  /** Absent: the list has none that apply as they are. */
  readonly prices?: {
    readonly currency: string;
    /** Decimal numbers. */
    readonly perMillionTokens: CatalogPrices;
    readonly longContext?: { readonly aboveInputTokens: number; readonly perMillionTokens: CatalogPrices };
    readonly perRequest?: string;
  };
}

export type CatalogPrices = Readonly<Partial<Record<CatalogKind, string>>>;

/** The kinds of tokens that the lists price. */
export type CatalogKind =
  | 'input'
  | 'output'
  | 'cachedInput'
  | 'cacheWriteInput'
  | 'cacheWrite1hInput'
  | 'reasoningOutput'
  | 'audioInput'
  | 'audioOutput'
  | 'imageInput'
  | 'imageOutput';

export interface PriceCatalog {
  /** Names the price list and its version. */
  readonly source: string;
  /** The day on which prices with a start date were chosen. */
  readonly date: string;
  /** The licence of the list. */
  readonly notice: string;
  readonly providers: Readonly<Record<CatalogName, readonly CatalogModel[]>>;
}

export const priceCatalog: PriceCatalog = catalog;

/** Returns the model of a list that a name means. */
export function catalogModel(models: readonly CatalogModel[], name: string): CatalogModel | undefined {
  return models.find(({ name: listed }) =>
    listed.endsWith('*') ? name.startsWith(listed.slice(0, -1)) : name === listed,
  );
}
