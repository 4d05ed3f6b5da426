/**
 * Conversions between APIs whose responses are documents, never streams, such as embeddings. Each
 * client API has a `DocumentClient`, each provider API a `DocumentProvider`; both know the form
 * between them.
 */
import type { Dialect, ResponseOptions } from '../../providers/adapter.ts';
import type { Usage } from '../../usage.ts';
import type { JsonRecord } from '../conversation.ts';
import type { ConversionTarget, ProviderError, ProviderRequest } from '../conversion.ts';
import type { Losses } from '../losses.ts';

/**
 * The client's side. `Asked` is a request between the two sides, `Kept` what its answer needs of
 * it, `Told` what the answer says.
 */
export interface DocumentClient<Asked, Kept, Told> {
  readonly dialect: Dialect;
  /** Reads a request. Problems are noted in `losses`; what is returned then has no meaning. */
  read(document: JsonRecord, losses: Losses): Asked;
  /** Returns what is kept of a request until its answer. */
  kept(asked: Asked): Kept;
  /** Returns the client's document. */
  document(told: Told, kept: Kept, details: DocumentDetails): object;
}

/** The provider's side. */
export interface DocumentProvider<Asked, Kept, Told> {
  encode(asked: Asked, target: ConversionTarget, losses: Losses): ProviderRequest;
  /** Returns undefined for a document that does not follow the API. */
  decode(document: unknown, kept: Kept): DecodedDocument<Told> | undefined;
  readError(status: number, document: unknown, type?: string): ProviderError;
}

export interface DecodedDocument<Told> {
  readonly told: Told;
  /** Undefined where the provider reports none. */
  readonly usage: Usage | undefined;
  /** See `UnaryReader.priceUnits`. */
  readonly priceUnits?: number | undefined;
}

export interface DocumentDetails {
  readonly options: ResponseOptions;
  /** As the provider reports it, or an estimate. */
  readonly inputTokens: number;
  readonly priceUnits: number | undefined;
}
