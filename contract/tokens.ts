/** The kinds of tokens, and what they cost or count: a part of the compiled policy. */

/** `input` and `output` are totals; each other kind is a part of one of them. */
export const tokenKinds = [
  'input',
  'output',
  'cachedInput',
  'cacheWriteInput',
  'cacheWrite1hInput',
  'reasoningOutput',
  'audioInput',
  'audioOutput',
  'imageInput',
  'imageOutput',
] as const;

export type TokenKind = (typeof tokenKinds)[number];

/** Prices in nano-units of the currency: whole numbers, exact to nine decimal places. */
export interface ModelPrices extends PriceTier {
  /** ISO 4217. */
  readonly currency: string;
  readonly perRequest?: number;
  /** In place of the other prices of tokens where the provider's answer names the tier. */
  readonly serviceTiers?: readonly ServiceTierPrices[];
  /** The price list that the prices are from, with its version; absent: the AIBackend itself. */
  readonly catalog?: string;
}

export interface PriceTier {
  readonly perMillionTokens: TokenPrices;
  /** In place of `perMillionTokens` for requests with more input. */
  readonly longContext?: { readonly aboveInputTokens: number; readonly perMillionTokens: TokenPrices };
}

export interface ServiceTierPrices extends PriceTier {
  /** As the provider's answers name it, such as `flex` or `priority`. */
  readonly name: string;
}

/** Prices that replace those before. */
export interface PriceChange {
  /** Milliseconds since 1970. */
  readonly fromMs: number;
  readonly prices: ModelPrices;
}

/** A kind without a price costs as much as the kind of which it is a part. */
export type TokenPrices = Readonly<Partial<Record<TokenKind, number>>>;

/**
 * What a request counts, in thousandths of a token: `constant` and each kind of tokens times its
 * factor, divided by `divisor`. Whole numbers; factors may be negative.
 */
export interface TokenWeight {
  readonly perToken: Readonly<Partial<Record<TokenKind, number>>>;
  readonly constant: number;
  readonly divisor: number;
}
