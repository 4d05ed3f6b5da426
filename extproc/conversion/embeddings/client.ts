/** OpenAI's embeddings as the client's side of conversions. */
import { openAiDialect } from '../../providers/openai/errors.ts';
import type { JsonRecord } from '../conversation.ts';
import type { DocumentClient, DocumentDetails } from '../documents/documents.ts';
import type { Losses } from '../losses.ts';
import { RequestFields } from '../reader-fields.ts';
import {
  type EmbeddingForm,
  type EmbeddingNames,
  type EmbeddingPurpose,
  type EmbeddingRequest,
  type Embeddings,
  embeddingPurposes,
} from './embedding-request.ts';

const known: ReadonlySet<string> = new Set(['model', 'input', 'dimensions', 'encoding_format', 'input_type', 'user']);

const names: EmbeddingNames = { texts: 'input', dimensions: 'dimensions', purpose: 'input_type' };

export const embeddingsClient: DocumentClient<EmbeddingRequest, EmbeddingForm, Embeddings> = {
  dialect: openAiDialect,
  read: readEmbeddings,
  kept: ({ texts, base64 }) => ({ count: texts.length, base64 }),
  document: embeddingsDocument,
};

function readEmbeddings(document: JsonRecord, losses: Losses): EmbeddingRequest {
  const fields = new RequestFields(document, losses);
  for (const name of Object.keys(document)) {
    if (!known.has(name) && document[name] !== null) {
      losses.unsupported(name);
    }
  }
  const format = fields.text('encoding_format') ?? 'float';
  if (format !== 'float' && format !== 'base64') {
    losses.invalid('encoding_format', 'must be float or base64');
  }
  const dimensions = fields.number('dimensions');
  if (dimensions !== undefined && !(Number.isInteger(dimensions) && dimensions > 0)) {
    losses.invalid('dimensions', 'must be a whole number of at least 1');
  }
  if (fields.any('user') !== undefined) {
    losses.hint('user');
  }
  return {
    texts: textsOf(fields.any('input'), losses),
    dimensions,
    purpose: purposeOf(fields.text('input_type'), losses),
    base64: format === 'base64',
    names,
  };
}

function textsOf(input: unknown, losses: Losses): readonly string[] {
  const inputs: readonly unknown[] = Array.isArray(input) ? input : [input];
  const texts = inputs.filter((each) => typeof each === 'string');
  if (texts.length === 0 || texts.length < inputs.length) {
    losses.invalid('input', 'must be text, or a list of texts, because the backend takes no token ids');
  }
  return texts;
}

function purposeOf(name: string | undefined, losses: Losses): EmbeddingPurpose | undefined {
  const purpose = embeddingPurposes.find((each) => each === name);
  if (name !== undefined && purpose === undefined) {
    losses.unsupported('input_type', `Use ${embeddingPurposes.join(', ')}`);
  }
  return purpose;
}

function embeddingsDocument(embeddings: Embeddings, { base64 }: EmbeddingForm, details: DocumentDetails): object {
  const { options, inputTokens } = details;
  return {
    object: 'list',
    data: embeddings.map((vector, index) => ({
      object: 'embedding',
      index,
      embedding: base64 ? base64Of(vector) : vector,
    })),
    model: options.model,
    usage: { prompt_tokens: inputTokens, total_tokens: inputTokens },
  };
}

/** Returns the numbers as little-endian floats of 32 bits. */
function base64Of(vector: readonly number[]): string {
  const bytes = Buffer.alloc(4 * vector.length);
  for (const [index, value] of vector.entries()) {
    bytes.writeFloatLE(value, 4 * index);
  }
  return bytes.toString('base64');
}
