/** `POST /v1/chat/completions`. */

import type { ClientApi } from '../adapter.ts';
import { hidesReasoning } from '../reasoning.ts';
import { responseAdapter } from '../response-adapter.ts';
import { chatShape, editChatRequest, readChatRequest } from './chat-request.ts';
import { choiceDocument } from './choice-document.ts';
import { ChoiceStreamReader } from './choice-stream-reader.ts';
import { ChoiceStreamWriter } from './choice-stream-writer.ts';
import { openAiDialect } from './errors.ts';

export const chat: ClientApi = {
  method: 'POST',
  path: '/v1/chat/completions',
  name: 'chat',
  operation: 'chat',
  providerApis: ['OpenAI', 'HuggingFaceTGI', 'AzureOpenAI'],
  dialect: openAiDialect,
  kind: 'metered',
  shape: chatShape,
  readRequest: readChatRequest,
  edit: editChatRequest,
  hidesOutput: (model, { reasoningOff }) => hidesReasoning(model, reasoningOff),
  response: (request, options) =>
    responseAdapter({
      unary: () => choiceDocument(options),
      reader: () => new ChoiceStreamReader(options),
      writer: () => new ChoiceStreamWriter('chat', request, options),
    }),
};
