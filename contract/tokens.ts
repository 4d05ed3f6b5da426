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
] as const;

export type TokenKind = (typeof tokenKinds)[number];

/** Prices in nano-units of the currency: whole numbers, exact to nine decimal places. */
export interface ModelPrices {
  /** ISO 4217. */
  readonly currency: string;
  readonly perMillionTokens: TokenPrices;
  /** In place of `perMillionTokens` for requests with more input. */
  readonly longContext?: { readonly aboveInputTokens: number; readonly perMillionTokens: TokenPrices };
  readonly perRequest?: number;
  /** The price list that the prices are from, with its version; absent: the AIBackend itself. */
  readonly catalog?: string;
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
