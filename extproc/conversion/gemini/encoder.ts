/**
 * Builds requests of Gemini's generateContent: https://ai.google.dev/api/generate-content, on
 * Vertex AI https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference
 */

import { isGeneration3 } from '../../providers/gemini/models.ts';
import { generatePath } from '../../providers/gemini/paths.ts';
import { presentLabels } from '../../providers/labels.ts';
import type { Conversation, ConversationTool, JsonRecord } from '../conversation.ts';
import type { ConversionTarget, EncodedRequest } from '../conversion.ts';
import type { Losses } from '../losses.ts';
import { contentsOf } from './contents.ts';
import { thinkingWithin } from './thinking.ts';

const MAX_STOPS = 5;
const MAX_SEED = 2 ** 31 - 1;

export function encodeGenerateContent(
  conversation: Conversation,
  target: ConversionTarget,
  losses: Losses,
): EncodedRequest {
  const { request, model } = target;
  const { system, messages, tools, user } = conversation;
  if (request.choices > 1) {
    losses.unsupportedOption('choices', 'Send one request for each choice');
  }
  if (user !== undefined) {
    losses.hintOption('user');
  }
  const instructions = system.filter(({ text }) => text !== '').map(({ text }) => ({ text }));
  const labels = presentLabels(target.labels);
  const body: JsonRecord = {
    ...(instructions.length > 0 && { systemInstruction: { parts: instructions } }),
    contents: contentsOf(messages, model, losses),
    ...(tools.length > 0 && toolsOf(conversation, losses)),
    ...(labels && { labels }),
  };
  const config = {
    ...samplingOf(conversation, losses),
    ...stopsOf(conversation.stops, losses),
    ...formatOf(conversation, model, losses),
  };
  const thinking = thinkingWithin(conversation.reasoning, model, losses);
  const asked = request.askedOutputTokens ?? Number.POSITIVE_INFINITY;
  return {
    finish(outputTokens) {
      const maxTokens = Math.min(asked, outputTokens ?? Number.POSITIVE_INFINITY);
      const thinkingConfig = thinking(maxTokens);
      const generationConfig = {
        ...config,
        ...(Number.isFinite(maxTokens) && { maxOutputTokens: maxTokens }),
        ...(thinkingConfig && { thinkingConfig }),
      };
      const whole = { ...body, ...(Object.keys(generationConfig).length > 0 && { generationConfig }) };
      return {
        path: generatePath(target.backend, target.model, target.request.stream),
        headers: [],
        body: Buffer.from(JSON.stringify(whole)),
      };
    },
  };
}

function toolsOf({ tools, toolChoice, parallelTools }: Conversation, losses: Losses): JsonRecord {
  if (!parallelTools) {
    losses.unsupportedOption('parallelTools');
  }
  const isStrict = tools.some(({ strict }) => strict === true);
  const modes = { auto: isStrict ? 'VALIDATED' : 'AUTO', none: 'NONE', required: 'ANY', tool: 'ANY' };
  const mode = modes[toolChoice.type];
  const functionCallingConfig = {
    mode,
    ...(toolChoice.type === 'tool' && { allowedFunctionNames: [toolChoice.name] }),
  };
  return {
    tools: [{ functionDeclarations: tools.map(declarationOf) }],
    ...(mode !== 'AUTO' && { toolConfig: { functionCallingConfig } }),
  };
}

/** `parameters` would take a part of OpenAPI's schemas only. */
function declarationOf({ name, description, parameters }: ConversationTool): JsonRecord {
  const schema: JsonRecord = { type: 'object', ...parameters };
  const { type, properties = {}, ...others } = schema;
  const isEmpty = type === 'object' && Object.keys(properties as object).length === 0 && hasNoMembers(others);
  return {
    name,
    ...(description !== undefined && { description }),
    ...(!isEmpty && { parametersJsonSchema: schema }),
  };
}

/** Whether what a schema has beside its properties allows no arguments. */
function hasNoMembers({ additionalProperties, ...others }: JsonRecord): boolean {
  const isClosed = additionalProperties === undefined || additionalProperties === false;
  return isClosed && !['$ref', 'anyOf', 'oneOf', 'allOf', 'patternProperties'].some((name) => name in others);
}

function samplingOf({ sampling }: Conversation, losses: Losses): JsonRecord {
  const { temperature, topP, topK, seed, presencePenalty, frequencyPenalty } = sampling;
  for (const option of ['logitBias', 'logprobs'] as const) {
    if (sampling[option] !== undefined) {
      losses.unsupportedOption(option);
    }
  }
  const seedFits = seed === undefined || (Number.isInteger(seed) && Math.abs(seed) <= MAX_SEED);
  if (!seedFits) {
    losses.unsupportedOption('seed', 'Use an integer of 32 bits');
  }
  return {
    ...(temperature !== undefined && { temperature }),
    ...(topP !== undefined && { topP }),
    ...(topK !== undefined && { topK }),
    ...(seed !== undefined && seedFits && { seed }),
    ...(presencePenalty !== undefined && { presencePenalty }),
    ...(frequencyPenalty !== undefined && { frequencyPenalty }),
  };
}

function stopsOf(stops: readonly string[], losses: Losses): JsonRecord {
  const usable = stops.filter((stop) => stop !== '').slice(0, MAX_STOPS);
  if (usable.length < stops.length) {
    losses.unsupportedOption('stops', `Use at most ${MAX_STOPS} sequences, none of them empty`);
  }
  return usable.length === 0 ? {} : { stopSequences: usable };
}

function formatOf({ output, tools }: Conversation, model: string, losses: Losses): JsonRecord {
  if (output.type === 'text') {
    return {};
  }
  if (tools.length > 0 && !isGeneration3(model)) {
    losses.unsupportedOption('output', 'Remove it or the tools, or use a model of generation 3');
    return {};
  }
  return {
    responseMimeType: 'application/json',
    ...(output.type === 'schema' && { responseJsonSchema: output.schema }),
  };
}
