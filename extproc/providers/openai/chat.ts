/** `POST /v1/chat/completions`. */

import type { ClientApi } from '../adapter.ts';
import { answerAdapter } from '../answer-adapter.ts';
import { hidesReasoning } from '../reasoning.ts';
import { chatShape, editChatRequest, readChatRequest } from './chat-request.ts';
import { choiceAnswer } from './choice-answer.ts';
import { ChoiceStreamReader } from './choice-stream-reader.ts';
import { ChoiceStreamWriter } from './choice-stream-writer.ts';
import { openAiDialect } from './errors.ts';

export const chat: ClientApi = {
  method: 'POST',
  path: '/v1/chat/completions',
  name: 'chat',
  operation: 'chat',
  providerApis: ['OpenAI', 'HuggingFaceTGI'],
  dialect: openAiDialect,
  kind: 'metered',
  shape: chatShape,
  readRequest: readChatRequest,
  edit: editChatRequest,
  hidesOutput: hidesReasoning,
  answer: (request, options) =>
    answerAdapter({
      unary: choiceAnswer,
      reader: () => new ChoiceStreamReader(options),
      writer: () => new ChoiceStreamWriter('chat', request, options),
    }),
};
