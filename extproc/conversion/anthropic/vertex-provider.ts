/** Claude on Vertex AI as the provider's side of conversions. */
import { VERTEX_VERSION, vertexMessagesPath } from '../../providers/anthropic/vertex.ts';
import { vertexLabelHeaders } from '../../providers/labels.ts';
import type { JsonRecord } from '../conversation.ts';
import type { ConversionProvider, ConversionTarget, ProviderRequest } from '../conversion.ts';
import { readErrorObject } from '../failures.ts';
import { listOf } from '../json-values.ts';
import { encodeMessagesFor } from './encoder.ts';
import { anthropicProvider } from './provider.ts';

export const vertexAnthropicProvider: ConversionProvider = {
  ...anthropicProvider,
  encode: (conversation, target, losses) => encodeMessagesFor(atVertex, conversation, target, losses),
  // A stream that fails at once is answered with a list.
  readError: (status, document) => readErrorObject(status, listOf(document)?.[0] ?? document),
};

function atVertex(body: JsonRecord, { model, request, labels }: ConversionTarget): ProviderRequest {
  const { model: _, ...rest } = body;
  return {
    path: vertexMessagesPath(model, request.stream),
    headers: vertexLabelHeaders(labels),
    body: Buffer.from(JSON.stringify({ anthropic_version: VERTEX_VERSION, ...rest })),
  };
}
