/** Gemini's `generateContent`, `streamGenerateContent` and, free of charge, `countTokens`. */
import type { ClientApi } from '../adapter.ts';
import { responseAdapter } from '../response-adapter.ts';
import { unaryReader } from '../unary.ts';
import { contentInput, contentShape, editContentRequest, readContentRequest } from './content-request.ts';
import { CONTENT_SHAPE, ContentStreamReader } from './content-stream-reader.ts';
import { ContentStreamWriter } from './content-stream-writer.ts';
import { googleDialect } from './errors.ts';
import { hidesContent } from './models.ts';
import { GENERATE, generatePath, methodPath, methodPaths, STREAM } from './paths.ts';
import { GEMINI_USAGE_SHAPE, scannedGeminiTier, scannedGeminiUsage } from './usage.ts';

const documentShape = {
  object: {
    modelVersion: { value: true },
    usageMetadata: GEMINI_USAGE_SHAPE,
    candidates: { items: { object: { content: CONTENT_SHAPE } } },
  },
};

const tracedShape = {
  object: {
    ...documentShape.object,
    responseId: { value: true },
    candidates: { items: { object: { content: CONTENT_SHAPE, finishReason: { value: true } } } },
  },
};

const base = {
  method: 'POST',
  providerApis: ['GoogleGemini', 'GCPVertexAI'],
  dialect: googleDialect,
  shape: contentShape,
} as const;

function generate(path: string, stream: boolean): ClientApi {
  return {
    ...base,
    path,
    name: 'generate_content',
    operation: 'generate_content',
    kind: 'metered',
    readRequest: (body, address) => readContentRequest(body, address, stream),
    edit: editContentRequest,
    providerPath: (_request, model, backend) => generatePath(backend, model, stream),
    hidesOutput: (model, { reasoningOff }) => hidesContent(model, reasoningOff),
    response: (request, options) =>
      responseAdapter({
        unary: () =>
          unaryReader(
            {
              shape: documentShape,
              tracedShape,
              id: 'responseId',
              finishReason: 'candidates[].finishReason',
              model: 'modelVersion',
              serviceTier: scannedGeminiTier,
              usage: (_numbers, document) => scannedGeminiUsage(document),
            },
            options,
          ),
        reader: () => new ContentStreamReader(request, options),
        writer: () => new ContentStreamWriter(request, options),
      }),
  };
}

const COUNT = 'countTokens';

function count(path: string): ClientApi {
  return {
    ...base,
    path,
    name: 'count_tokens',
    operation: 'count_tokens',
    kind: 'free',
    readRequest: (body, address) => contentInput(body, address.path),
    edit: () => [],
    providerPath: (_request, model, backend) => methodPath(backend, model, COUNT),
    countReply: (totalTokens) => Buffer.from(JSON.stringify({ totalTokens })),
  };
}

/** Both ways to generate content, at all paths. */
export const contentEndpoints: readonly ClientApi[] = [
  ...methodPaths(GENERATE).map((path) => generate(path, false)),
  ...methodPaths(STREAM).map((path) => generate(path, true)),
];

export const countContentEndpoints: readonly ClientApi[] = methodPaths(COUNT).map(count);
