/**
 * `POST /v1/rerank` in the form of Jina, vLLM and others:
 * https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html#re-rank-api
 */
import type { Failure } from '../../errors.ts';
import type { ScannedBody } from '../../json/scanner.ts';
import type { Shape } from '../../json/shape.ts';
import type { ClientApi, RequestFacts } from '../adapter.ts';
import { editModel } from '../edits.ts';
import { OPENAI_IMAGE_TOKENS } from '../media.ts';
import { BodyFields, byteLength } from '../request.ts';
import { absentStreamAdapter } from '../response-adapter.ts';
import { below, unaryReader } from '../unary.ts';
import { OPENAI_USAGE_SHAPE, openAiUsage, type UsageNumbers } from '../usage.ts';
import { openAiDialect } from './errors.ts';

const TEXT: Shape = { text: true };

const shape: Shape = {
  object: {
    model: { value: true },
    query: { value: true, text: true, object: { text: TEXT } },
    documents: { items: { text: true, object: { text: TEXT, image: {} } } },
  },
};

const documentShape: Shape = {
  object: {
    model: { value: true },
    usage: OPENAI_USAGE_SHAPE,
    meta: { object: { billed_units: { object: { search_units: { value: true } } } } },
  },
};

/** Marks around each pair of query and document. */
const PAIR_TOKENS = 4;

/**
 * Cohere bills a search unit for a hundred documents, and counts a longer document once for each
 * 500 tokens: https://cohere.com/pricing
 */
const DOCUMENTS_OF_UNIT = 100;
const BYTES_OF_DOCUMENT = 2_000;

function readRequest(body: ScannedBody): RequestFacts | Failure {
  const fields = new BodyFields(body);
  const model = fields.model();
  if (fields.problem !== undefined) {
    return fields.problem;
  }
  const documents = Math.max(1, body.count('documents[]'));
  const query = body.one('query');
  const queryBytes = query === undefined ? 0 : byteLength(query);
  const parts = documents + Math.floor(body.textBytes / BYTES_OF_DOCUMENT);
  return {
    model,
    stream: false,
    choices: 1,
    leastOutputTokens: 0,
    hasOutput: false,
    hiddenOutput: false,
    usageAsked: false,
    textBytes: body.textBytes,
    // The model reads the query with each document.
    overheadTokens: (documents - 1) * queryBytes + PAIR_TOKENS * documents,
    mediaTokens: OPENAI_IMAGE_TOKENS * body.count('documents[].image'),
    givenTokens: 0,
    unbounded: [],
    priceUnits: Math.ceil(parts / DOCUMENTS_OF_UNIT),
  };
}

/** Jina and others report only a total. */
function rerankUsage(numbers: UsageNumbers) {
  const total = numbers.get('total_tokens');
  return openAiUsage({ get: (path) => numbers.get(path) ?? (path === 'prompt_tokens' ? total : undefined) });
}

export const rerank: ClientApi = {
  method: 'POST',
  path: '/v1/rerank',
  name: 'rerank',
  operation: 'rerank',
  providerApis: ['OpenAI'],
  dialect: openAiDialect,
  kind: 'metered',
  shape,
  readRequest,
  edit: editModel,
  response: () =>
    absentStreamAdapter(openAiDialect, () =>
      unaryReader({
        shape: documentShape,
        model: 'model',
        usage: (numbers) => rerankUsage(below(numbers, 'usage')),
        priceUnits: (numbers) => numbers.get('meta.billed_units.search_units'),
      }),
    ),
};
