/**
 * Embeddings of Bedrock's InvokeModel, whose body is that of the model's maker:
 * https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html
 */
import { presentLabels } from '../../providers/labels.ts';
import { toldTokens } from '../../providers/usage.ts';
import { textUsage } from '../../usage.ts';
import { readConverseError } from '../bedrock/errors.ts';
import type { JsonRecord } from '../conversation.ts';
import type { DocumentProvider } from '../documents/documents.ts';
import { recordOf } from '../json-values.ts';
import type { Losses } from '../losses.ts';
import { pathSegment } from '../path-segment.ts';
import { maxTexts } from './batch.ts';
import { cohereEmbedBody, cohereVectors } from './cohere.ts';
import type { EmbeddingForm, EmbeddingRequest, Embeddings } from './embedding-request.ts';
import { vectorsOf } from './vectors.ts';

const MAX_COHERE_TEXTS = 96;

/** https://docs.aws.amazon.com/bedrock/latest/userguide/cost-mgmt-request-metadata.html */
const METADATA_HEADER = 'x-amzn-bedrock-request-metadata';

export const bedrockEmbeddings: DocumentProvider<EmbeddingRequest, EmbeddingForm, Embeddings> = {
  encode(asked, { model, labels }, losses) {
    const body = isCohere(model) ? cohereBody(asked, losses) : titanBody(asked, model, losses);
    const metadata = presentLabels(labels);
    return {
      path: `/model/${pathSegment(model)}/invoke`,
      headers: metadata === undefined ? [] : [[METADATA_HEADER, JSON.stringify(metadata)]],
      body: Buffer.from(JSON.stringify(body)),
    };
  },
  decode(document, { count }) {
    const answer = recordOf(document);
    const told =
      answer?.['embedding'] === undefined
        ? cohereVectors(answer?.['embeddings'], count)
        : vectorsOf([answer['embedding']], count);
    // Cohere's models report no usage in the body.
    const input = toldTokens(answer?.['inputTextTokenCount']);
    return told && { told, usage: input === undefined ? undefined : textUsage(input, 0) };
  },
  readError: readConverseError,
};

function isCohere(model: string): boolean {
  return /(^|[./])cohere\./.test(model);
}

function cohereBody(asked: EmbeddingRequest, losses: Losses): object {
  maxTexts(asked, MAX_COHERE_TEXTS, losses);
  return cohereEmbedBody(asked, losses);
}

/** Titan takes one text, and dimensions from its second version on. */
function titanBody(asked: EmbeddingRequest, model: string, losses: Losses): JsonRecord {
  maxTexts(asked, 1, losses);
  const { texts, dimensions, purpose, names } = asked;
  if (purpose !== undefined) {
    losses.hint(names.purpose);
  }
  if (dimensions !== undefined && /titan-embed-text-v1/.test(model)) {
    losses.unsupported(names.dimensions);
    return { inputText: texts[0] };
  }
  return { inputText: texts[0], ...(dimensions !== undefined && { dimensions }) };
}
