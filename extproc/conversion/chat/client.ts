/** OpenAI's chat completions as the client's side of conversions. */
import { openAiDialect } from '../../providers/openai/errors.ts';
import type { ConversionClient } from '../conversion.ts';
import { chatDocument } from './document.ts';
import { readChat } from './reader.ts';
import { ChatWriter } from './writer.ts';

export const chatClient: ConversionClient = {
  fieldNames: {
    choices: 'n',
    parallelTools: 'parallel_tool_calls',
    toolChoice: 'tool_choice',
    output: 'response_format',
    json: 'response_format',
    temperature: 'temperature',
    topP: 'top_p',
    topK: 'top_k',
    frequencyPenalty: 'frequency_penalty',
    presencePenalty: 'presence_penalty',
    seed: 'seed',
    logitBias: 'logit_bias',
    logprobs: 'logprobs',
    stops: 'stop',
    reasoning: 'reasoning_effort',
    cache: 'prompt_cache_key',
    user: 'user',
    echoedReasoning: 'messages.reasoning_details',
    callSignature: 'messages.tool_calls.extra_content',
    resultError: 'messages.content',
  },
  dialect: openAiDialect,
  overloadedStatus: 503,
  read: readChat,
  newWriter: (request, options) => new ChatWriter(request, options),
  document: chatDocument,
};
