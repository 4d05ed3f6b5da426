/** Gemini's generateContent as the client's side of conversions. */
import { googleDialect } from '../../providers/gemini/errors.ts';
import type { ConversionClient } from '../conversion.ts';
import { type ContentEcho, contentEcho } from './config.ts';
import { contentDocument } from './document.ts';
import { readContent } from './reader.ts';
import { ContentWriter } from './writer.ts';

export const contentClient: ConversionClient<ContentEcho> = {
  fieldNames: {
    choices: 'generationConfig.candidateCount',
    parallelTools: 'toolConfig',
    toolChoice: 'toolConfig.functionCallingConfig',
    output: 'generationConfig.responseJsonSchema',
    json: 'generationConfig.responseMimeType',
    temperature: 'generationConfig.temperature',
    topP: 'generationConfig.topP',
    topK: 'generationConfig.topK',
    frequencyPenalty: 'generationConfig.frequencyPenalty',
    presencePenalty: 'generationConfig.presencePenalty',
    seed: 'generationConfig.seed',
    logitBias: 'generationConfig.logitBias',
    logprobs: 'generationConfig.responseLogprobs',
    stops: 'generationConfig.stopSequences',
    reasoning: 'generationConfig.thinkingConfig',
    cache: 'cachedContent',
    user: 'labels',
    echoedReasoning: 'contents.parts.thoughtSignature',
    callSignature: 'contents.parts.thoughtSignature',
    resultError: 'contents.parts.functionResponse.response.error',
  },
  dialect: googleDialect,
  overloadedStatus: 503,
  read: readContent,
  echo: contentEcho,
  newWriter: (_request, options, echo) => new ContentWriter(options, echo),
  document: contentDocument,
};
