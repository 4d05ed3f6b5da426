/** Cohere's embed API (v2): https://docs.cohere.com/reference/embed */
import { readCohereError } from '../cohere/errors.ts';
import { cohereUsage } from '../cohere/usage.ts';
import type { DocumentProvider } from '../documents/documents.ts';
import { listOf, recordOf } from '../json-values.ts';
import type { Losses } from '../losses.ts';
import { maxTexts } from './batch.ts';
import type { EmbeddingForm, EmbeddingPurpose, EmbeddingRequest, Embeddings } from './embedding-request.ts';
import { vectorsOf } from './vectors.ts';

const PATH = '/v2/embed';
const MAX_TEXTS = 96;

const DEFAULT_PURPOSE = 'search_document';
const purposes: ReadonlySet<EmbeddingPurpose> = new Set([
  ...([DEFAULT_PURPOSE, 'search_query', 'classification', 'clustering'] as const),
]);

export const cohereEmbeddings: DocumentProvider<EmbeddingRequest, EmbeddingForm, Embeddings> = {
  encode(asked, { model }, losses) {
    maxTexts(asked, MAX_TEXTS, losses);
    const body = { model, ...cohereEmbedBody(asked, losses) };
    return { path: PATH, headers: [], body: Buffer.from(JSON.stringify(body)) };
  },
  decode(document, { count }) {
    const answer = recordOf(document);
    const told = cohereVectors(answer?.['embeddings'], count);
    return told && { told, usage: cohereUsage(answer?.['meta']) };
  },
  readError: readCohereError,
};

/** Returns what Cohere's models take, also on Bedrock. They want to know the purpose. */
export function cohereEmbedBody(asked: EmbeddingRequest, losses: Losses): object {
  const { texts, dimensions, purpose = DEFAULT_PURPOSE, names } = asked;
  const isKnown = purposes.has(purpose);
  if (!isKnown) {
    losses.unsupported(names.purpose);
  }
  return {
    texts,
    input_type: isKnown ? purpose : DEFAULT_PURPOSE,
    embedding_types: ['float'],
    ...(dimensions !== undefined && { output_dimension: dimensions }),
  };
}

/** Reads embeddings by type, or a bare list of those that were the only type. */
export function cohereVectors(embeddings: unknown, count: number): Embeddings | undefined {
  return vectorsOf(listOf(recordOf(embeddings)?.['float'] ?? embeddings), count);
}
