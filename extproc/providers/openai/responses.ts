/** `POST /v1/responses`. */

import type { Shape } from '../../json/shape.ts';
import type { ClientApi } from '../adapter.ts';
import { hidesReasoning } from '../reasoning.ts';
import { responseAdapter } from '../response-adapter.ts';
import { below, unaryReader } from '../unary.ts';
import { OPENAI_USAGE_SHAPE, openAiUsage } from '../usage.ts';
import { openAiDialect } from './errors.ts';
import { ResponseStreamReader } from './response-stream-reader.ts';
import { ResponseStreamWriter } from './response-stream-writer.ts';
import { editResponsesRequest, readResponsesRequest, responsesShape } from './responses-request.ts';
import { serverDialect } from './server-dialects.ts';

const TEXT: Shape = { text: true };
const PARTS: Shape = { items: { object: { text: TEXT, refusal: TEXT } } };

const documentShape: Shape = {
  object: {
    model: { value: true },
    service_tier: { value: true },
    usage: OPENAI_USAGE_SHAPE,
    output: {
      items: { object: { content: PARTS, summary: PARTS, name: TEXT, arguments: TEXT, input: TEXT, code: TEXT } },
    },
  },
};

const tracedShape: Shape = { object: { ...documentShape.object, id: { value: true } } };

export const responses: ClientApi = {
  method: 'POST',
  path: '/v1/responses',
  name: 'responses',
  operation: 'chat',
  providerApis: ['OpenAI', 'AzureOpenAI'],
  isMissingAt: (backend) => serverDialect(backend).lacksResponses === true,
  dialect: openAiDialect,
  kind: 'metered',
  shape: responsesShape,
  readRequest: readResponsesRequest,
  edit: editResponsesRequest,
  hidesOutput: (model, { reasoningOff }) => hidesReasoning(model, reasoningOff),
  response: (_request, options) =>
    responseAdapter({
      unary: () =>
        unaryReader(
          {
            shape: documentShape,
            tracedShape,
            id: 'id',
            model: 'model',
            serviceTier: 'service_tier',
            usage: (numbers) => openAiUsage(below(numbers, 'usage')),
          },
          options,
        ),
      reader: () => new ResponseStreamReader(options),
      writer: () => new ResponseStreamWriter(options),
    }),
};
