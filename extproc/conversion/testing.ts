/** Runs a request and its response through a conversion, as a session does. */
import type { ModelFacts, OpenAiDialect, ProviderApi } from '../../contract/policy.ts';
import { isFailure } from '../errors.ts';
import { newScanner } from '../json/json-tokenizer.ts';
import type { TextSink } from '../json/text-sink.ts';
import type { ClientApi, RequestFacts, ResponseAdapter } from '../providers/adapter.ts';
import { messages } from '../providers/anthropic/messages.ts';
import { batchEmbedEndpoints, embedContentEndpoints } from '../providers/gemini/embed-content.ts';
import { contentEndpoints } from '../providers/gemini/generate-content.ts';
import type { RequestLabels } from '../providers/labels.ts';
import { chat } from '../providers/openai/chat.ts';
import { embeddings } from '../providers/openai/embeddings.ts';
import { rerank } from '../providers/openai/rerank.ts';
import { responses } from '../providers/openai/responses.ts';
import { newAwsEventSplitter } from '../sse/aws-event-stream.ts';
import { newEventSplitter } from '../sse/events.ts';
import { conversionFor } from './registry.ts';

const contentApi = (method: string) =>
  [...contentEndpoints, ...embedContentEndpoints, ...batchEmbedEndpoints].find(
    ({ path }) => path === `/v1beta/models/{model}:${method}`,
  )!;

export const clientApis: Readonly<Record<string, ClientApi>> = {
  chat,
  messages,
  responses,
  embeddings,
  rerank,
  content: contentApi('generateContent'),
  'content-stream': contentApi('streamGenerateContent'),
  'embed-content': contentApi('embedContent'),
  'batch-embed': contentApi('batchEmbedContents'),
};

export const CREATED_MS = Date.UTC(2026, 0, 1);

/** Where the model is named by the path. */
const ADDRESS = { path: '/v1beta/models/assistant:generateContent', query: new URLSearchParams('alt=sse') };

export interface ConversionCase {
  /** A name of `clientApis`. */
  readonly client: string;
  readonly providerApi: ProviderApi;
  readonly dialect?: OpenAiDialect;
  readonly body: string;
  /** The model's name at the backend. */
  readonly model?: string;
  readonly maxOutputTokens?: number;
  readonly reasoningTokens?: ModelFacts['reasoningTokens'];
  readonly drops?: boolean;
  readonly labels?: RequestLabels;
  /** An output bound from the reservation. */
  readonly bound?: number;
}

export interface ConvertedCase {
  readonly facts: RequestFacts;
  readonly path: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
  readonly dropped: readonly string[];
  readonly hiddenOutput: boolean;
  newAdapter(): ResponseAdapter;
}

/** Returns the message of the failure where the request is refused. */
export function convertedCase(given: ConversionCase): ConvertedCase | string {
  const api = clientApis[given.client]!;
  const scanner = newScanner(api.shape);
  const problem = scanner.push(Buffer.from(given.body));
  const body = problem ?? scanner.finish();
  if (isFailure(body)) {
    return body.message;
  }
  const facts = api.readRequest(body, ADDRESS);
  if (isFailure(facts)) {
    return facts.message;
  }
  const model = given.model ?? facts.model;
  const { maxOutputTokens, reasoningTokens } = given;
  const modelFacts =
    maxOutputTokens === undefined && reasoningTokens === undefined
      ? undefined
      : {
          name: model,
          reasoningTokens: reasoningTokens ?? 'Auto',
          ...(maxOutputTokens !== undefined && { maxOutputTokens }),
        };
  const { providerApi: schema, dialect } = given;
  const backend = { schema, ...(dialect !== undefined && { dialect }) };
  const conversion = conversionFor(api, backend, model)!;
  const { drops = false, labels } = given;
  const converted = conversion.convert(body, { facts, backend, model, modelFacts, drops, labels });
  if (isFailure(converted)) {
    return converted.message;
  }
  const { path, headers, body: bytes } = converted.finish(given.bound);
  const options = { hideUsage: false, model: facts.model, createdMs: CREATED_MS };
  return {
    facts,
    path,
    headers,
    body: Buffer.from(bytes).toString(),
    dropped: converted.dropped,
    hiddenOutput: converted.hiddenOutput,
    newAdapter: () => converted.response(facts, options),
  };
}

const NO_TEXT: TextSink = { text() {} };

/** Returns what a client gets of a stream that arrives in these pieces. */
export function convertedStream(adapter: ResponseAdapter, pieces: readonly Uint8Array[], sink = NO_TEXT): string {
  const { reader, writer } = adapter;
  const splitter = adapter.framing === 'aws-event-stream' ? newAwsEventSplitter() : newEventSplitter();
  const sent: Uint8Array[] = [];
  const pass = (bytes: Uint8Array, start: number, end: number, part: 'none' | 'begun' | 'last') => {
    const facts =
      part === 'none'
        ? reader.read(bytes, start, end, sink)
        : reader.readPart(bytes, start, end, part === 'last', sink);
    if (part !== 'begun' && writer.write(bytes, start, end, facts) === 'replace') {
      sent.push(writer.replacement);
    }
  };
  const drain = () => {
    while (splitter.next()) {
      pass(splitter.bytes, splitter.start, splitter.end, splitter.part);
    }
  };
  for (const piece of pieces) {
    splitter.push(piece);
    drain();
  }
  splitter.close();
  drain();
  const rest = splitter.rest();
  if (rest.length > 0) {
    pass(rest, 0, rest.length, 'none');
  }
  sent.push(writer.end!());
  return Buffer.concat(sent).toString();
}

/** Returns the client's form of a document, or the failure's message. */
export function convertedDocument(adapter: ResponseAdapter, bytes: Uint8Array): string {
  adapter.unary.push(bytes, NO_TEXT);
  const document = adapter.conversion!.document(bytes);
  return isFailure(document) ? document.message : Buffer.from(document).toString();
}
