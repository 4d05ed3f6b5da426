/** What the formats of published price lists have in common. */
import type { CatalogKind, CatalogPrices } from '../../translate/link/catalog.ts';
import type { JsonPlace } from './json-place.ts';
import type { ListedPrices } from './listed-prices.ts';

export interface PriceListFormat {
  /** Where the list is published and under which licence. */
  readonly source: string;
  readonly fix: string;
  readonly entries: (root: JsonPlace) => readonly ListEntry[];
  readonly read: (entry: ListEntry, findings: Findings) => ListedModel;
}

/** A model of a list, not read yet. */
export interface ListEntry {
  readonly provider: string;
  readonly name: string;
  readonly place: JsonPlace;
}

export interface ListedModel {
  readonly contextTokens: number | undefined;
  readonly maxOutputTokens: number | undefined;
  /** Undefined: the list has none, or none that can be written exactly. */
  readonly prices: ListedPrices | undefined;
}

/** Collects what the list says and an AIBackend cannot, by sentence with the names of models. */
export class Findings {
  readonly #models = new Map<string, string[]>();

  add(sentence: string, model: string): void {
    const models = this.#models.get(sentence) ?? [];
    this.#models.set(sentence, models);
    models.push(model);
  }

  noEqual(field: string, model: string): void {
    this.add(`${field} has no equal`, model);
  }

  noPrices(reason: string, model: string): void {
    this.add(`without prices, because the list has ${reason}`, model);
  }

  lines(): readonly string[] {
    return [...this.#models].map(([sentence, models]) => `${sentence}: ${models.join(', ')}\n`);
  }
}

/** The prices of one set of tokens while a list is read. */
export type GrowingPrices = Partial<Record<CatalogKind, string>>;

/** Prices by tier and step while a list is read; '' and 0 are those without a tier and a step. */
export class PriceTable {
  readonly #sets = new Map<string, Map<number, GrowingPrices>>();

  set(tier: string, above: number): GrowingPrices {
    const steps = this.#sets.get(tier) ?? new Map<number, GrowingPrices>();
    this.#sets.set(tier, steps);
    const prices = steps.get(above) ?? {};
    steps.set(above, prices);
    return prices;
  }

  listed(perRequest: string | undefined): ListedPrices {
    const { '': base, ...tiers } = Object.fromEntries(this.#sets);
    return {
      ...steps(base),
      tiers: new Map(Object.entries(tiers).map(([name, sets]) => [name, steps(sets)])),
      perRequest,
    };
  }
}

function steps(sets: ReadonlyMap<number, CatalogPrices> | undefined) {
  return {
    plain: sets?.get(0) ?? {},
    steps: new Map([...(sets ?? [])].filter(([above]) => above > 0)),
  };
}
