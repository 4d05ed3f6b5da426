/** `POST /v1/chat/completions`. */

import type { ClientApi } from '../adapter.ts';
import { answerReaders } from '../readers.ts';
import { hidesReasoning } from '../reasoning.ts';
import { chatShape, editChatRequest, readChatRequest } from './chat-request.ts';
import { choiceAnswer } from './choice-answer.ts';
import { ChoiceStream } from './choice-stream.ts';
import { openAiDialect } from './errors.ts';

export const chat: ClientApi = {
  method: 'POST',
  path: '/v1/chat/completions',
  operation: 'chat',
  providerApis: ['OpenAI', 'HuggingFaceTGI'],
  dialect: openAiDialect,
  kind: 'metered',
  shape: chatShape,
  readRequest: readChatRequest,
  edit: editChatRequest,
  hidesOutput: hidesReasoning,
  answer: (request, options) => answerReaders(choiceAnswer, () => new ChoiceStream('chat', request, options)),
};
