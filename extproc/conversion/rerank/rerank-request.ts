/** A request to rank documents and its answer, between the client API and the provider APIs. */

export interface RerankRequest {
  readonly query: string;
  readonly documents: readonly string[];
  /** How many of the best documents to return; undefined: all. */
  readonly top: number | undefined;
  /** Tokens of a document beyond which it is cut; undefined: as the provider does by default. */
  readonly documentTokens: number | undefined;
  /** The client wants the documents in the answer. */
  readonly returnsDocuments: boolean;
}

/** What the answer needs of a request. */
export interface RerankForm {
  readonly count: number;
  /** Undefined unless the client wants them back. */
  readonly documents: readonly string[] | undefined;
}

/** The best come first. */
export type Ranking = readonly { readonly index: number; readonly score: number }[];
