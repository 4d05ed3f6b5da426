/** Cohere's embed API (v2): https://docs.cohere.com/reference/embed */
import { readCohereError } from '../cohere/errors.ts';
import { cohereUsage } from '../cohere/usage.ts';
import type { DocumentProvider } from '../documents/documents.ts';
import { listOf, recordOf } from '../json-values.ts';
import { maxTexts } from './batch.ts';
import type { EmbeddingForm, EmbeddingRequest, Embeddings } from './embedding-request.ts';
import { vectorsOf } from './vectors.ts';

const PATH = '/v2/embed';
const MAX_TEXTS = 96;

export const cohereEmbeddings: DocumentProvider<EmbeddingRequest, EmbeddingForm, Embeddings> = {
  encode(asked, { model }, losses) {
    maxTexts(asked, MAX_TEXTS, losses);
    const body = { model, ...cohereEmbedBody(asked) };
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
export function cohereEmbedBody({ texts, dimensions, purpose = 'search_document' }: EmbeddingRequest): object {
  return {
    texts,
    input_type: purpose,
    embedding_types: ['float'],
    ...(dimensions !== undefined && { output_dimension: dimensions }),
  };
}

/** Reads embeddings by type, or a bare list of those that were the only type. */
export function cohereVectors(embeddings: unknown, count: number): Embeddings | undefined {
  return vectorsOf(listOf(recordOf(embeddings)?.['float'] ?? embeddings), count);
}
