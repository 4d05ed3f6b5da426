/** One conversion, and what becomes of one request and its response by it. */
import type { ModelFacts, ProviderApi } from '../../contract/policy.ts';
import { type Failure, failure } from '../errors.ts';
import type { ScannedBody } from '../json/scanner.ts';
import type { RequestFacts, ResponseAdapter, ResponseOptions } from '../providers/adapter.ts';
import type { RequestLabels } from '../providers/labels.ts';
import type { BackendApi } from '../providers/openai/server-dialects.ts';
import type { ConversionClient, ConversionProvider, EncodedRequest, ProviderRequest } from './conversion.ts';
import { ConvertedAnswer } from './converted-answer.ts';
import { parsedJson, recordOf } from './json-values.ts';
import { Losses } from './losses.ts';

export interface ConversionRequest {
  readonly facts: RequestFacts;
  readonly backend: BackendApi;
  /** The model's name at the backend. */
  readonly model: string;
  readonly modelFacts: ModelFacts | undefined;
  /** Drop what the provider has no place for, rather than refuse it. */
  readonly drops: boolean;
  /** What the provider is told of the request; undefined: nothing. */
  readonly labels: RequestLabels | undefined;
}

/** From one client API to one provider API. */
export interface Conversion {
  readonly providerApi: ProviderApi;
  /** Converts a whole request, up to what only the reservation decides. */
  convert(body: ScannedBody, request: ConversionRequest): ConvertedRequest | Failure;
}

/** Converts requests that have the form of conversations in between. */
export class ConversationConversion implements Conversion {
  readonly providerApi: ProviderApi;
  readonly #client: ConversionClient;
  readonly #provider: ConversionProvider;

  constructor(client: ConversionClient, provider: ConversionProvider, providerApi: ProviderApi) {
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
    const losses = new Losses(this.providerApi, this.#client.fieldNames, drops);
    const conversation = this.#client.read(document, losses);
    if (losses.problem !== undefined) {
      return losses.problem;
    }
    const target = { backend, model, modelFacts, request: facts, labels };
    const encoded = this.#provider.encode(conversation, target, losses);
    const hiddenOutput = this.#provider.hidesOutput(conversation, model);
    if (losses.problem !== undefined) {
      return losses.problem;
    }
    const newAnswer = this.#newAnswer(this.#client.echo?.(document), losses.dropped);
    return new ConvertedRequest(encoded, hiddenOutput, losses.dropped, newAnswer);
  }

  /** Keeps nothing of the request but what its response needs. */
  #newAnswer(echo: unknown, dropped: readonly string[]): NewAnswer {
    const client = this.#client;
    const provider = this.#provider;
    return (request, options) => new ConvertedAnswer({ client, provider, request, options, dropped, echo });
  }
}

type NewAnswer = (request: RequestFacts, options: ResponseOptions) => ResponseAdapter;

export class ConvertedRequest {
  readonly hiddenOutput: boolean;
  /** Fields of the client's body that the provider does not get. */
  readonly dropped: readonly string[];
  readonly response: NewAnswer;
  #encoded: EncodedRequest | undefined;

  constructor(encoded: EncodedRequest, hiddenOutput: boolean, dropped: readonly string[], response: NewAnswer) {
    this.#encoded = encoded;
    this.hiddenOutput = hiddenOutput;
    this.dropped = dropped;
    this.response = response;
  }

  /** Returns the request for the provider, once. */
  finish(outputTokens: number | undefined): ProviderRequest {
    const encoded = this.#encoded!;
    this.#encoded = undefined;
    return encoded.finish(outputTokens);
  }
}
