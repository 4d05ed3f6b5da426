/** Anthropic's messages as the client's side of conversions. */
import { anthropicDialect } from '../../providers/anthropic/errors.ts';
import type { ConversionClient } from '../conversion.ts';
import { messageDocument } from './document.ts';
import { readMessages } from './reader.ts';
import { MessagesWriter } from './writer.ts';

export const messagesClient: ConversionClient = {
  fieldNames: {
    choices: 'n',
    parallelTools: 'tool_choice.disable_parallel_tool_use',
    toolChoice: 'tool_choice',
    output: 'output_config.format',
    json: 'output_config.format',
    temperature: 'temperature',
    topP: 'top_p',
    topK: 'top_k',
    frequencyPenalty: 'frequency_penalty',
    presencePenalty: 'presence_penalty',
    seed: 'seed',
    logitBias: 'logit_bias',
    logprobs: 'logprobs',
    stops: 'stop_sequences',
    reasoning: 'thinking',
    cache: 'cache_control',
    user: 'metadata.user_id',
    echoedReasoning: 'messages.content.thinking',
    callSignature: 'messages.content.signature',
    resultError: 'messages.content.is_error',
  },
  dialect: anthropicDialect,
  overloadedStatus: 529,
  read: readMessages,
  newWriter: (_request, options) => new MessagesWriter(options),
  document: messageDocument,
};
