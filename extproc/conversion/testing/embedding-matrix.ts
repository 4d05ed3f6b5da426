/** Runs requests for embeddings through each conversion, and says what becomes of each feature. */
import type { ProviderApi } from '../../../contract/policy.ts';
import type { JsonRecord } from '../conversation.ts';
import { parsedRecord } from '../json-values.ts';
import { type ConvertedCase, clientApis, convertedCase, convertedDocument } from '../testing.ts';
import { type Cell, includes, type MatrixRow } from './matrix.ts';

export type EmbeddingClient = 'embeddings' | 'embed-content' | 'batch-embed';

interface EmbeddingBackend {
  readonly providerApi: ProviderApi;
  readonly model: string;
  /** Returns what the provider answers, with its usage. */
  answer(vectors: readonly (readonly number[])[]): JsonRecord;
}

const TOKENS = 7;

const backends: readonly EmbeddingBackend[] = [
  ...(['OpenAI', 'AzureOpenAI'] as const).map((providerApi) => ({
    providerApi,
    model: 'text-embedding-3-small',
    answer: (vectors: readonly (readonly number[])[]) => ({
      data: vectors.map((embedding) => ({ embedding })),
      usage: { prompt_tokens: TOKENS },
    }),
  })),
  {
    providerApi: 'AWSBedrock',
    model: 'amazon.titan-embed-text-v2:0',
    answer: ([embedding]) => ({ embedding, inputTextTokenCount: TOKENS }),
  },
  {
    providerApi: 'GoogleGemini',
    model: 'gemini-embedding-001',
    answer: (vectors) => ({
      embeddings: vectors.map((values) => ({ values })),
      usageMetadata: { promptTokenCount: TOKENS },
    }),
  },
  {
    providerApi: 'GCPVertexAI',
    model: 'text-embedding-005',
    answer: (vectors) => ({
      predictions: vectors.map((values) => ({ embeddings: { values, statistics: { token_count: TOKENS } } })),
    }),
  },
  {
    providerApi: 'Cohere',
    model: 'embed-v4.0',
    answer: (vectors) => ({
      embeddings: { float: vectors },
      meta: { billed_units: { input_tokens: TOKENS } },
    }),
  },
];

interface EmbeddingProbe {
  readonly feature: string;
  readonly asks: Readonly<Partial<Record<EmbeddingClient, JsonRecord>>>;
  /** What the provider's request must have. */
  readonly arrives: RegExp;
}

const WORD = 'Reykjavik';
const content = { parts: [{ text: WORD }] };

/** A request of each of Google's methods with more members. */
function google(more: JsonRecord): EmbeddingProbe['asks'] {
  return { 'embed-content': more, 'batch-embed': { requests: [{ content, ...more }] } };
}

const probes: readonly EmbeddingProbe[] = [
  { feature: 'One text', asks: { embeddings: {}, ...google({}) }, arrives: /"Reykjavik"/ },
  {
    feature: 'Several texts',
    asks: {
      embeddings: { input: ['Akureyri', WORD] },
      'batch-embed': { requests: [{ content: { parts: [{ text: 'Akureyri' }] } }, { content }] },
    },
    arrives: /"Akureyri".*"Reykjavik"/,
  },
  {
    feature: 'Dimensions',
    asks: { embeddings: { dimensions: 256 }, ...google({ outputDimensionality: 256 }) },
    arrives: /"(dimensions|output_dimension|outputDimensionality)":256/,
  },
  {
    feature: 'Purpose: searches',
    asks: { embeddings: { input_type: 'search_query' }, ...google({ taskType: 'RETRIEVAL_QUERY' }) },
    arrives: /"(search_query|RETRIEVAL_QUERY)"/,
  },
  {
    feature: 'Purpose: similarity of meaning',
    asks: { embeddings: { input_type: 'semantic_similarity' }, ...google({ taskType: 'SEMANTIC_SIMILARITY' }) },
    arrives: /"SEMANTIC_SIMILARITY"/,
  },
  { feature: 'Title of a document', asks: google({ title: 'Cities' }), arrives: /"Cities"/ },
  { feature: 'Token ids', asks: { embeddings: { input: [[1, 2]] } }, arrives: /\[1,2\]/ },
  {
    feature: 'Images',
    asks: google({ content: { parts: [{ inlineData: { mimeType: 'image/png', data: 'iVBORw0KGgo=' } }] } }),
    arrives: /iVBORw0KGgo=/,
  },
];

export function embeddingBackends(client: EmbeddingClient): readonly EmbeddingBackend[] {
  const { isMissingAt, providerApis } = clientApis[client]!;
  return backends.filter(
    ({ providerApi, model }) =>
      !providerApis.includes(providerApi) || isMissingAt?.({ schema: providerApi }, model) === true,
  );
}

export function embeddingMatrix(client: EmbeddingClient): readonly MatrixRow[] {
  const targets = embeddingBackends(client);
  const asked = probes.flatMap(({ feature, asks, arrives }) => {
    const more = asks[client];
    return more === undefined
      ? []
      : [{ feature, cells: targets.map((backend) => requestCell(convert(client, backend, more), arrives)) }];
  });
  return [
    ...asked,
    ...(client === 'embeddings' ? [{ feature: 'Numbers as base64', cells: targets.map(base64Cell) }] : []),
    { feature: 'Embeddings and usage', cells: targets.map((backend) => answerCell(client, backend)) },
    { feature: 'Errors', cells: targets.map((backend) => errorCell(client, backend)) },
  ];
}

function convert(client: EmbeddingClient, { providerApi, model }: EmbeddingBackend, more: JsonRecord) {
  const base = {
    embeddings: { model: 'm', input: WORD },
    'embed-content': { content },
    'batch-embed': { requests: [{ content }] },
  }[client];
  return convertedCase({ client, providerApi, model, body: JSON.stringify({ ...base, ...more }) });
}

function requestCell(made: ConvertedCase | string, arrives: RegExp): Cell {
  if (typeof made === 'string') {
    const field = /^`([^`]+)`/.exec(made)?.[1];
    return field === undefined ? { type: 'lost' } : { type: 'refused', field };
  }
  if (arrives.test(made.body)) {
    return { type: 'works' };
  }
  const [field] = made.dropped;
  return field === undefined ? { type: 'lost' } : { type: 'dropped', field };
}

const VECTOR = [0.5, -0.25];
const BASE64 = Buffer.from(Float32Array.from(VECTOR).buffer).toString('base64');

function documentOf(client: EmbeddingClient, backend: EmbeddingBackend, more: JsonRecord): JsonRecord | undefined {
  const made = convert(client, backend, more) as ConvertedCase;
  const answer = Buffer.from(JSON.stringify(backend.answer([VECTOR])));
  return parsedRecord(convertedDocument(made.newAdapter(), answer));
}

function base64Cell(backend: EmbeddingBackend): Cell {
  const document = documentOf('embeddings', backend, { encoding_format: 'base64' });
  return told(document, { data: [{ embedding: BASE64 }] });
}

function answerCell(client: EmbeddingClient, backend: EmbeddingBackend): Cell {
  const usageMetadata = { promptTokenCount: TOKENS };
  const expected = {
    embeddings: { data: [{ embedding: VECTOR }], usage: { prompt_tokens: TOKENS } },
    'embed-content': { embedding: { values: VECTOR }, usageMetadata },
    'batch-embed': { embeddings: [{ values: VECTOR }], usageMetadata },
  };
  return told(documentOf(client, backend, {}), expected[client]);
}

function errorCell(client: EmbeddingClient, backend: EmbeddingBackend): Cell {
  const made = convert(client, backend, {}) as ConvertedCase;
  const given = Buffer.from(JSON.stringify({ message: 'Wait.', error: { message: 'Wait.' } }));
  const { status, body } = made.newAdapter().conversion!.error(429, given);
  const document = parsedRecord(Buffer.from(body).toString());
  return status === 429 ? told(document, { error: { message: 'Wait.' } }) : { type: 'lost' };
}

function told(document: JsonRecord | undefined, expected: JsonRecord): Cell {
  return includes(document, expected) ? { type: 'works' } : { type: 'lost' };
}
