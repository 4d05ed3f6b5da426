/** One conversion between APIs of documents. */
import type { ProviderApi } from '../../../contract/policy.ts';
import { type Failure, failure } from '../../errors.ts';
import type { ScannedBody } from '../../json/scanner.ts';
import { type Conversion, type ConversionRequest, ConvertedRequest } from '../converted-request.ts';
import { parsedJson, recordOf } from '../json-values.ts';
import { Losses } from '../losses.ts';
import { DocumentAnswer } from './document-answer.ts';
import type { DocumentClient, DocumentProvider } from './documents.ts';

export class DocumentConversion<Asked, Kept, Told> implements Conversion {
  readonly providerApi: ProviderApi;
  readonly #client: DocumentClient<Asked, Kept, Told>;
  readonly #provider: DocumentProvider<Asked, Kept, Told>;

  constructor(
    client: DocumentClient<Asked, Kept, Told>,
    provider: DocumentProvider<Asked, Kept, Told>,
    providerApi: ProviderApi,
  ) {
    this.#client = client;
    this.#provider = provider;
    this.providerApi = providerApi;
  }

  convert(
    body: ScannedBody,
    { facts, backend, model, modelFacts, drops, labels }: ConversionRequest,
  ): ConvertedRequest | Failure {
    const document = recordOf(parsedJson(Buffer.concat(body.bytes).toString()));
    if (document === undefined) {
      return failure('invalid_body', 'The request body is not a JSON object.');
    }
    const losses = new Losses(this.providerApi, undefined, drops);
    const asked = this.#client.read(document, losses);
    if (losses.problem !== undefined) {
      return losses.problem;
    }
    const target = { backend, model, modelFacts, request: facts, labels };
    const request = this.#provider.encode(asked, target, losses);
    if (losses.problem !== undefined) {
      return losses.problem;
    }
    const client = this.#client;
    const provider = this.#provider;
    const kept = client.kept(asked);
    const { dropped } = losses;
    return new ConvertedRequest(
      { finish: () => request },
      false,
      dropped,
      (_facts, options) => new DocumentAnswer(client, provider, kept, options, dropped),
    );
  }
}
