/**
 * Embeddings of the Gemini API: https://ai.google.dev/api/embeddings, and of Vertex AI:
 * https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api
 */
import { embedsContentOnVertex } from '../../providers/gemini/models.ts';
import { toldTokens } from '../../providers/usage.ts';
import { textUsage, type Usage } from '../../usage.ts';
import type { JsonRecord } from '../conversation.ts';
import type { ConversionTarget } from '../conversion.ts';
import type { DocumentProvider } from '../documents/documents.ts';
import { readGeminiError } from '../gemini/decoder.ts';
import { listOf, recordOf } from '../json-values.ts';
import type { Losses } from '../losses.ts';
import { pathSegment } from '../path-segment.ts';
import { maxTexts } from './batch.ts';
import type { EmbeddingForm, EmbeddingPurpose, EmbeddingRequest, Embeddings } from './embedding-request.ts';
import { vectorsOf } from './vectors.ts';

const MAX_TEXTS = 100;
const MAX_VERTEX_TEXTS = 250;

export const tasks: Readonly<Record<EmbeddingPurpose, string>> = {
  search_document: 'RETRIEVAL_DOCUMENT',
  search_query: 'RETRIEVAL_QUERY',
  classification: 'CLASSIFICATION',
  clustering: 'CLUSTERING',
  semantic_similarity: 'SEMANTIC_SIMILARITY',
  question_answering: 'QUESTION_ANSWERING',
  fact_verification: 'FACT_VERIFICATION',
  code_retrieval_query: 'CODE_RETRIEVAL_QUERY',
};

export const geminiEmbeddings: DocumentProvider<EmbeddingRequest, EmbeddingForm, Embeddings> = {
  encode(asked, { model: name }, losses) {
    maxTexts(asked, MAX_TEXTS, losses);
    const { texts, dimensions, purpose } = asked;
    const model = name.replace(/^models\//, '');
    const requests = texts.map((text) => ({
      model: `models/${model}`,
      content: { parts: [{ text }] },
      ...(purpose !== undefined && { taskType: tasks[purpose] }),
      ...(dimensions !== undefined && { outputDimensionality: dimensions }),
    }));
    const path = `/v1beta/models/${pathSegment(model)}:batchEmbedContents`;
    return { path, headers: [], body: Buffer.from(JSON.stringify({ requests })) };
  },
  decode(document, { count }) {
    const answer = recordOf(document);
    const values = listOf(answer?.['embeddings'])?.map((each) => recordOf(each)?.['values']);
    const told = vectorsOf(values, count);
    return told && { told, usage: promptUsage(answer?.['usageMetadata']) };
  },
  readError: readGeminiError,
};

export const vertexEmbeddings: DocumentProvider<EmbeddingRequest, EmbeddingForm, Embeddings> = {
  encode(asked, target, losses) {
    return embedsContentOnVertex(target.model)
      ? vertexContent(asked, target, losses)
      : vertexPredict(asked, target, losses);
  },
  decode(document, { count }) {
    const answer = recordOf(document);
    const content = recordOf(answer?.['embedding']);
    if (content !== undefined) {
      const told = vectorsOf([content['values']], count);
      return told && { told, usage: promptUsage(answer?.['usageMetadata']) };
    }
    const embeddings = listOf(answer?.['predictions'])?.map((each) => recordOf(recordOf(each)?.['embeddings']));
    const told = vectorsOf(
      embeddings?.map((each) => each?.['values']),
      count,
    );
    const counts = (embeddings ?? []).map((each) => toldTokens(recordOf(each?.['statistics'])?.['token_count']));
    const isCounted = counts.every((each) => each !== undefined);
    const input = counts.reduce<number>((sum, each) => sum + (each ?? 0), 0);
    return told && { told, usage: isCounted ? textUsage(input, 0) : undefined };
  },
  readError: readGeminiError,
};

function promptUsage(metadata: unknown): Usage | undefined {
  const input = toldTokens(recordOf(metadata)?.['promptTokenCount']);
  return input === undefined ? undefined : textUsage(input, 0);
}

/** Vertex AI has the Gemini API's method for one text. */
function vertexContent(asked: EmbeddingRequest, target: ConversionTarget, losses: Losses) {
  maxTexts(asked, 1, losses);
  const { texts, dimensions, purpose } = asked;
  const body: JsonRecord = {
    content: { parts: texts.map((text) => ({ text })) },
    ...(purpose !== undefined && { taskType: tasks[purpose] }),
    ...(dimensions !== undefined && { outputDimensionality: dimensions }),
  };
  return requestOf(target, 'embedContent', body);
}

function vertexPredict(asked: EmbeddingRequest, target: ConversionTarget, losses: Losses) {
  // The Gemini models take one text; the older ones take many.
  maxTexts(asked, target.model.startsWith('gemini-') ? 1 : MAX_VERTEX_TEXTS, losses);
  const { texts, dimensions, purpose } = asked;
  const body: JsonRecord = {
    instances: texts.map((content) => ({ content, ...(purpose !== undefined && { task_type: tasks[purpose] }) })),
    ...(dimensions !== undefined && { parameters: { outputDimensionality: dimensions } }),
  };
  return requestOf(target, 'predict', body);
}

function requestOf({ model }: ConversionTarget, method: string, body: JsonRecord) {
  const path = `/v1/publishers/google/models/${pathSegment(model)}:${method}`;
  return { path, headers: [], body: Buffer.from(JSON.stringify(body)) };
}
