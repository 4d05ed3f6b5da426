/** `POST /v1/messages`, and `POST /v1/messages/count_tokens`, which costs nothing. */

import type { MatchesByPath } from '../../json/scanner.ts';
import type { Shape } from '../../json/shape.ts';
import type { ClientApi } from '../adapter.ts';
import { vertexLabelHeaders } from '../labels.ts';
import { thinksByDefault } from '../reasoning.ts';
import { BodyFields } from '../request.ts';
import { responseAdapter } from '../response-adapter.ts';
import { below, unaryReader } from '../unary.ts';
import {
  ANTHROPIC_USAGE_SHAPE,
  anthropicUsage,
  ITERATION_NUMBERS,
  IterationSums,
  toldTokens,
  type UsageNumbers,
} from '../usage.ts';
import { anthropicDialect } from './errors.ts';
import { MessageStreamReader } from './message-stream-reader.ts';
import { MessageStreamWriter } from './message-stream-writer.ts';
import {
  editCountRequest,
  editMessagesRequest,
  inputFacts,
  messagesShape,
  readMessagesRequest,
} from './messages-request.ts';
import { isOnVertex, VERTEX_COUNT_PATH, vertexMessagesPath } from './vertex.ts';

const TEXT: Shape = { text: true };

const documentShape: Shape = {
  object: {
    model: { value: true },
    usage: { object: { ...ANTHROPIC_USAGE_SHAPE.object, service_tier: { value: true } } },
    content: { items: { object: { text: TEXT, thinking: TEXT, name: TEXT, input: { deepText: true } } } },
  },
};

const tracedShape: Shape = {
  object: { ...documentShape.object, id: { value: true }, stop_reason: { value: true } },
};

function withIterations(numbers: UsageNumbers, document: MatchesByPath): UsageNumbers {
  if (document.count('usage.iterations[]') === 0) {
    return numbers;
  }
  const types = new Map(document.all('usage.iterations[].type').map(({ element, value }) => [element, value]));
  const sums = new IterationSums();
  for (const name of ITERATION_NUMBERS) {
    for (const { element, value } of document.all(`usage.iterations[].${name}`)) {
      sums.add(String(types.get(element)), name, toldTokens(value) ?? 0);
    }
  }
  return { get: (path) => sums.get(path) ?? numbers.get(path) };
}

export const messages: ClientApi = {
  method: 'POST',
  path: '/v1/messages',
  name: 'messages',
  operation: 'chat',
  providerApis: ['Anthropic', 'AnthropicOnVertex'],
  dialect: anthropicDialect,
  kind: 'metered',
  shape: messagesShape,
  readRequest: readMessagesRequest,
  edit: editMessagesRequest,
  providerPath: ({ stream }, model, backend) => (isOnVertex(backend) ? vertexMessagesPath(model, stream) : undefined),
  labelHeaders: (labels, backend) => (isOnVertex(backend) ? vertexLabelHeaders(labels) : []),
  hidesOutput: (model, { reasoningOff }) => reasoningOff !== true && thinksByDefault(model),
  response: (_request, options) =>
    responseAdapter({
      unary: () =>
        unaryReader(
          {
            shape: documentShape,
            tracedShape,
            id: 'id',
            finishReason: 'stop_reason',
            model: 'model',
            serviceTier: 'usage.service_tier',
            usage: (numbers, document) => anthropicUsage(withIterations(below(numbers, 'usage'), document)),
          },
          options,
        ),
      reader: () => new MessageStreamReader(options),
      writer: () => new MessageStreamWriter(options),
    }),
};

export const countTokens: ClientApi = {
  method: 'POST',
  path: '/v1/messages/count_tokens',
  name: 'count_tokens',
  operation: 'count_tokens',
  providerApis: ['Anthropic', 'AnthropicOnVertex'],
  dialect: anthropicDialect,
  kind: 'free',
  shape: messagesShape,
  readRequest(body) {
    const fields = new BodyFields(body);
    const model = fields.model();
    return fields.problem ?? inputFacts(body, model);
  },
  edit: editCountRequest,
  providerPath: (_request, _model, backend) => (isOnVertex(backend) ? VERTEX_COUNT_PATH : undefined),
  countReply: (inputTokens) => Buffer.from(JSON.stringify({ input_tokens: inputTokens })),
};
