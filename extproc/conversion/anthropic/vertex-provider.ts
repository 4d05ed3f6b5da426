/**
 * Claude on Vertex AI: Anthropic's messages API, whose path names the model and whose body names
 * the version: https://platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai
 */
import type { JsonRecord } from '../conversation.ts';
import type { ConversionProvider, ConversionTarget, ProviderRequest } from '../conversion.ts';
import { readErrorObject } from '../failures.ts';
import { listOf } from '../json-values.ts';
import { encodeMessagesFor } from './encoder.ts';
import { anthropicProvider } from './provider.ts';

const VERSION = 'vertex-2023-10-16';

/** Google names all models of Anthropic so. */
export function isClaude(model: string): boolean {
  return model.startsWith('claude');
}

export const vertexAnthropicProvider: ConversionProvider = {
  ...anthropicProvider,
  encode: (conversation, target, losses) => encodeMessagesFor(atVertex, conversation, target, losses),
  // A stream that fails at once is answered with a list.
  readError: (status, document) => readErrorObject(status, listOf(document)?.[0] ?? document),
};

/** The name of the model may be the client's choice, so it is one segment of the path. */
function atVertex(body: JsonRecord, { model, request }: ConversionTarget): ProviderRequest {
  const { model: _, ...rest } = body;
  // As Google writes versions: claude-sonnet-4-5@20250929.
  const name = encodeURIComponent(model.toWellFormed()).replaceAll('%40', '@');
  return {
    path: `/v1/publishers/anthropic/models/${name}:${request.stream ? 'streamRawPredict' : 'rawPredict'}`,
    headers: [],
    body: Buffer.from(JSON.stringify({ anthropic_version: VERSION, ...rest })),
  };
}
