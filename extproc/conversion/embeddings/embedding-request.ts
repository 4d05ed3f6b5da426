/** A request for embeddings and its answer, between the client API and the provider APIs. */

export interface EmbeddingRequest {
  readonly texts: readonly string[];
  readonly dimensions: number | undefined;
  /** What the embeddings are for; undefined: the client does not say. */
  readonly purpose: EmbeddingPurpose | undefined;
  /** The client wants base64 in place of lists of numbers. */
  readonly base64: boolean;
  /** The client API's names of the members. */
  readonly names: EmbeddingNames;
}

export interface EmbeddingNames {
  readonly texts: string;
  readonly dimensions: string;
  readonly purpose: string;
}

/** What the answer needs of a request. */
export interface EmbeddingForm {
  /** How many embeddings there must be. */
  readonly count: number;
  readonly base64: boolean;
}

/** The first ones are those of Cohere's `input_type`. */
export const embeddingPurposes = [
  ...(['search_document', 'search_query', 'classification', 'clustering'] as const),
  ...(['semantic_similarity', 'question_answering', 'fact_verification', 'code_retrieval_query'] as const),
];

export type EmbeddingPurpose = (typeof embeddingPurposes)[number];

/** One for each text, in order. */
export type Embeddings = readonly (readonly number[])[];
