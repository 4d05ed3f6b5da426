/** Cohere's rerank API (v2): https://docs.cohere.com/reference/rerank */
import { toldTokens } from '../../providers/usage.ts';
import { readCohereError } from '../cohere/errors.ts';
import { cohereUsage } from '../cohere/usage.ts';
import type { DocumentProvider } from '../documents/documents.ts';
import { listOf, numberOf, recordOf } from '../json-values.ts';
import type { Ranking, RerankForm, RerankRequest } from './rerank-request.ts';

const PATH = '/v2/rerank';

export const cohereRerank: DocumentProvider<RerankRequest, RerankForm, Ranking> = {
  encode({ query, documents, top, documentTokens }, { model }) {
    const body = {
      model,
      query,
      documents,
      ...(top !== undefined && { top_n: top }),
      ...(documentTokens !== undefined && { max_tokens_per_doc: documentTokens }),
    };
    return { path: PATH, headers: [], body: Buffer.from(JSON.stringify(body)) };
  },
  decode(document, { count }) {
    const answer = recordOf(document);
    const told = rankingOf(listOf(answer?.['results']), count);
    const meta = recordOf(answer?.['meta']);
    const priceUnits = toldTokens(recordOf(meta?.['billed_units'])?.['search_units']);
    return told && { told, usage: cohereUsage(meta), priceUnits };
  },
  readError: readCohereError,
};

function rankingOf(results: readonly unknown[] | undefined, count: number): Ranking | undefined {
  const ranking = results?.map((each) => {
    const result = recordOf(each);
    return { index: numberOf(result?.['index']) ?? -1, score: numberOf(result?.['relevance_score']) ?? Number.NaN };
  });
  const isWhole = ranking?.every(
    ({ index, score }) => Number.isInteger(index) && index >= 0 && index < count && Number.isFinite(score),
  );
  return isWhole ? ranking : undefined;
}
