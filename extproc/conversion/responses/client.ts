/** OpenAI's Responses API as the client's side of conversions. */
import { openAiDialect } from '../../providers/openai/errors.ts';
import type { ConversionClient } from '../conversion.ts';
import { responseDocument } from './document.ts';
import { readResponses } from './reader.ts';
import { type ResponseEcho, responseEcho } from './response-object.ts';
import { ResponsesWriter } from './writer.ts';

export const responsesClient: ConversionClient<ResponseEcho> = {
  fieldNames: {
    choices: 'n',
    parallelTools: 'parallel_tool_calls',
    toolChoice: 'tool_choice',
    output: 'text.format',
    json: 'text.format',
    temperature: 'temperature',
    topP: 'top_p',
    topK: 'top_k',
    frequencyPenalty: 'frequency_penalty',
    presencePenalty: 'presence_penalty',
    seed: 'seed',
    logitBias: 'logit_bias',
    logprobs: 'top_logprobs',
    stops: 'stop',
    reasoning: 'reasoning',
    cache: 'prompt_cache_key',
    user: 'safety_identifier',
    echoedReasoning: 'input.encrypted_content',
    callSignature: 'input.encrypted_content',
    resultError: 'input.output',
  },
  dialect: openAiDialect,
  overloadedStatus: 503,
  read: readResponses,
  echo: responseEcho,
  newWriter: (_request, options, echo) => new ResponsesWriter(options, echo),
  document: responseDocument,
};
