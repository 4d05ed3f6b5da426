/** The rerank API that Jina, vLLM and Cohere's older clients have in common. */
import { openAiDialect } from '../../providers/openai/errors.ts';
import type { JsonRecord } from '../conversation.ts';
import type { DocumentClient, DocumentDetails } from '../documents/documents.ts';
import { recordOf, stringOf } from '../json-values.ts';
import type { Losses } from '../losses.ts';
import { RequestFields } from '../reader-fields.ts';
import type { Ranking, RerankForm, RerankRequest } from './rerank-request.ts';

const known: ReadonlySet<string> = new Set([
  ...['model', 'query', 'documents', 'top_n', 'return_documents', 'max_tokens_per_doc', 'user'],
]);

export const rerankClient: DocumentClient<RerankRequest, RerankForm, Ranking> = {
  dialect: openAiDialect,
  read: readRerank,
  kept: ({ documents, returnsDocuments }) => ({
    count: documents.length,
    documents: returnsDocuments ? documents : undefined,
  }),
  document: rerankDocument,
};

function readRerank(document: JsonRecord, losses: Losses): RerankRequest {
  const fields = new RequestFields(document, losses);
  for (const name of Object.keys(document)) {
    if (!known.has(name) && document[name] !== null) {
      losses.unsupported(name);
    }
  }
  if (fields.any('user') !== undefined) {
    losses.hint('user');
  }
  const query = fields.text('query');
  if (query === undefined) {
    losses.invalid('query', 'must be a string');
  }
  return {
    query: query ?? '',
    documents: (fields.list('documents') ?? []).map((each, index) => documentText(each, index, losses)),
    top: fields.number('top_n'),
    documentTokens: fields.number('max_tokens_per_doc'),
    returnsDocuments: fields.flag('return_documents') === true,
  };
}

function documentText(value: unknown, index: number, losses: Losses): string {
  const text = stringOf(value) ?? stringOf(recordOf(value)?.['text']);
  if (text === undefined) {
    losses.invalid(`documents[${index}]`, 'must be a string, or an object with a text');
  }
  return text ?? '';
}

function rerankDocument(ranking: Ranking, { documents }: RerankForm, details: DocumentDetails): object {
  const { options, inputTokens, priceUnits } = details;
  return {
    id: options.requestId ?? 'rerank_tallygate',
    model: options.model,
    results: ranking.map(({ index, score }) => ({
      index,
      relevance_score: score,
      ...(documents !== undefined && { document: { text: documents[index] } }),
    })),
    usage: { prompt_tokens: inputTokens, total_tokens: inputTokens },
    ...(priceUnits !== undefined && { meta: { billed_units: { search_units: priceUnits } } }),
  };
}
