/** A request for embeddings and its answer, between the client API and the provider APIs. */

export interface EmbeddingRequest {
  readonly texts: readonly string[];
  readonly dimensions: number | undefined;
  /** What the embeddings are for; undefined: the client does not say. */
  readonly purpose: EmbeddingPurpose | undefined;
  /** The client wants base64 in place of lists of numbers. */
  readonly base64: boolean;
}

/** What the answer needs of a request. */
export interface EmbeddingForm {
  /** How many embeddings there must be. */
  readonly count: number;
  readonly base64: boolean;
}

/** As Cohere's `input_type` names them, which other gateways take in OpenAI's API, too. */
export const embeddingPurposes = ['search_document', 'search_query', 'classification', 'clustering'] as const;

export type EmbeddingPurpose = (typeof embeddingPurposes)[number];

/** One for each text, in order. */
export type Embeddings = readonly (readonly number[])[];
