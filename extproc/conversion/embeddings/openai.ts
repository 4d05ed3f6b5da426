/** OpenAI's embeddings: https://platform.openai.com/docs/api-reference/embeddings */
import { openAiUsage, toldTokens } from '../../providers/usage.ts';
import type { DocumentProvider } from '../documents/documents.ts';
import { readErrorObject } from '../failures.ts';
import { listOf, recordOf } from '../json-values.ts';
import { maxTexts } from './batch.ts';
import type { EmbeddingForm, EmbeddingRequest, Embeddings } from './embedding-request.ts';
import { vectorsOf } from './vectors.ts';

const PATH = '/v1/embeddings';
const MAX_TEXTS = 2_048;

export const openAiEmbeddings: DocumentProvider<EmbeddingRequest, EmbeddingForm, Embeddings> = {
  encode(asked, { model }, losses) {
    maxTexts(asked, MAX_TEXTS, losses);
    const { texts, dimensions, purpose, names } = asked;
    if (purpose !== undefined) {
      losses.hint(names.purpose);
    }
    const body = {
      model,
      input: texts,
      encoding_format: 'float',
      ...(dimensions !== undefined && { dimensions }),
    };
    return { path: PATH, headers: [], body: Buffer.from(JSON.stringify(body)) };
  },
  decode(document, { count }) {
    const answer = recordOf(document);
    const vectors = listOf(answer?.['data'])?.map((each) => recordOf(each)?.['embedding']);
    const told = vectorsOf(vectors, count);
    const usage = recordOf(answer?.['usage']);
    return told && { told, usage: openAiUsage({ get: (path) => toldTokens(usage?.[path]) }) };
  },
  readError: readErrorObject,
};
