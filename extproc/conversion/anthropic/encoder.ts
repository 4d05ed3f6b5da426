/**
 * Builds requests of Anthropic's messages API:
 * https://platform.claude.com/docs/en/api/messages
 */
import type { CacheHint, Conversation, ConversationTool, JsonRecord, TextPart } from '../conversation.ts';
import type { ConversionTarget, EncodedRequest, ProviderRequest } from '../conversion.ts';
import type { Losses } from '../losses.ts';
import { cacheControl, messagesOf, textBlock } from './messages.ts';
import { type ThinkingPlan, thinkingPlan } from './thinking.ts';

const PATH = '/v1/messages';
const VERSION = '2023-06-01';

/**
 * `max_tokens` where neither the client nor the policy names a bound. All models since Claude 3.7
 * allow this much, and a hold assumes it.
 */
const DEFAULT_MAX_TOKENS = 16_384;

/** Makes a request for a place that serves the API. */
type MessagesPlace = (body: JsonRecord, target: ConversionTarget) => ProviderRequest;

export function encodeMessages(conversation: Conversation, target: ConversionTarget, losses: Losses): EncodedRequest {
  return encodeMessagesFor(atAnthropic, conversation, target, losses);
}

/** Anthropic's own place names model and version in the body and a header. */
const atAnthropic: MessagesPlace = (body) => ({
  path: PATH,
  headers: [['anthropic-version', VERSION]],
  body: Buffer.from(JSON.stringify(body)),
});

export function encodeMessagesFor(
  place: MessagesPlace,
  conversation: Conversation,
  target: ConversionTarget,
  losses: Losses,
): EncodedRequest {
  const { request, modelFacts, model } = target;
  const thinking = thinkingPlan(conversation, model, losses);
  if (request.choices > 1) {
    losses.unsupportedOption('choices', 'Send one request for each choice');
  }
  const body: JsonRecord = {
    model,
    ...systemOf(conversation.system),
    messages: messagesOf(conversation.messages, losses),
    ...(conversation.tools.length > 0 && toolsOf(conversation)),
    ...samplingOf(conversation, thinking, losses),
    ...stopsOf(conversation.stops, losses),
    ...(conversation.user !== undefined && { metadata: { user_id: conversation.user } }),
    ...(conversation.cache && { cache_control: cacheControl(conversation.cache) }),
    ...(request.stream && { stream: true }),
  };
  const outputConfig = { ...formatOf(conversation, losses), ...thinking.outputConfig };
  const asked = request.askedOutputTokens ?? modelFacts?.maxOutputTokens ?? DEFAULT_MAX_TOKENS;
  return {
    finish(outputTokens) {
      const maxTokens = Math.min(asked, outputTokens ?? asked);
      const whole = {
        ...body,
        max_tokens: maxTokens,
        ...thinking.within(maxTokens),
        ...(Object.keys(outputConfig).length > 0 && { output_config: outputConfig }),
      };
      return place(whole, target);
    },
  };
}

function systemOf(system: readonly TextPart[]): JsonRecord {
  const [first, ...others] = system.filter(({ text }) => text !== '');
  if (first === undefined) {
    return {};
  }
  const plain = others.length === 0 && first.cache === undefined;
  return { system: plain ? first.text : [first, ...others].map(textBlock) };
}

function toolsOf({ tools, toolChoice, parallelTools }: Conversation): JsonRecord {
  const choice = {
    ...(toolChoice.type === 'tool'
      ? { type: 'tool', name: toolChoice.name }
      : { type: toolChoice.type === 'required' ? 'any' : toolChoice.type }),
    ...(!parallelTools && toolChoice.type !== 'none' && { disable_parallel_tool_use: true }),
  };
  const isDefault = toolChoice.type === 'auto' && parallelTools;
  return { tools: tools.map(toolOf), ...(!isDefault && { tool_choice: choice }) };
}

function toolOf({ name, description, parameters, strict, cache }: ConversationTool): JsonRecord {
  return {
    name,
    ...(description !== undefined && { description }),
    input_schema: { type: 'object', ...parameters },
    ...(strict === true && { strict }),
    ...withCache(cache),
  };
}

function withCache(cache: CacheHint | undefined): JsonRecord {
  return cache === undefined ? {} : { cache_control: cacheControl(cache) };
}

function samplingOf({ sampling }: Conversation, thinking: ThinkingPlan, losses: Losses): JsonRecord {
  const { temperature, topP, topK } = sampling;
  for (const option of ['frequencyPenalty', 'presencePenalty', 'seed', 'logitBias', 'logprobs'] as const) {
    if (sampling[option] !== undefined) {
      losses.unsupportedOption(option);
    }
  }
  const body: Record<string, unknown> = {};
  if (temperature !== undefined) {
    if (temperature > 1) {
      losses.unsupportedOption('temperature', 'Use 1 at most');
    } else if (thinking.on && temperature !== 1) {
      losses.unsupportedOption('temperature', 'Remove it or the reasoning');
    } else {
      body['temperature'] = temperature;
    }
  }
  if (topP !== undefined) {
    body['top_p'] = topP;
  }
  if (topK !== undefined) {
    if (thinking.on) {
      losses.unsupportedOption('topK', 'Remove it or the reasoning');
    } else {
      body['top_k'] = topK;
    }
  }
  return body;
}

/** The API refuses sequences of white space. */
function stopsOf(stops: readonly string[], losses: Losses): JsonRecord {
  const usable = stops.filter((stop) => stop.trim() !== '');
  if (usable.length < stops.length) {
    losses.unsupportedOption('stops', 'Use sequences that are not only white space');
  }
  return usable.length === 0 ? {} : { stop_sequences: usable };
}

function formatOf({ output }: Conversation, losses: Losses): JsonRecord {
  if (output.type === 'json') {
    losses.unsupportedOption('json', 'Use a JSON schema');
  }
  return output.type === 'schema' ? { format: { type: 'json_schema', schema: output.schema } } : {};
}
