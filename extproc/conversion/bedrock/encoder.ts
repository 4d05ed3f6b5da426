/**
 * Builds requests of Bedrock's Converse and ConverseStream:
 * https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
 */
import { presentLabels } from '../../providers/labels.ts';
import { type ThinkingPlan, thinkingPlan } from '../anthropic/thinking.ts';
import type { Conversation, ConversationTool, JsonRecord } from '../conversation.ts';
import type { ConversionTarget, EncodedRequest } from '../conversion.ts';
import type { Losses } from '../losses.ts';
import { pathSegment } from '../path-segment.ts';
import { CachePoints } from './cache-points.ts';
import { converseMessages } from './messages.ts';
import { familyOf, type ModelFamily, takesSerialTools } from './models.ts';

/** The output within which a budget of thinking must fit where nothing names a bound. */
const DEFAULT_MAX_TOKENS = 16_384;

const NO_THINKING: ThinkingPlan = { on: false, outputConfig: {}, within: () => ({}) };

export function encodeConverse(conversation: Conversation, target: ConversionTarget, losses: Losses): EncodedRequest {
  const { request, modelFacts, model } = target;
  const family = familyOf(model);
  const thinking = thinkingOf(conversation, model, family, losses);
  noteUnsupported(conversation, request.choices, losses);
  const serial = serialTools(conversation, model, losses);
  const caches = new CachePoints(family, losses);
  const tools = toolsOf(conversation, caches, losses);
  const system = systemOf(conversation, caches);
  const messages = converseMessages(conversation.messages, caches, losses);
  caches.end(messages.at(-1)?.content ?? [], conversation.cache);
  const topK = topKOf(conversation, family, thinking, losses);
  const sampling = samplingOf(conversation, thinking, losses);
  const stops = stopsOf(conversation.stops, losses);
  const outputConfig = { ...formatOf(conversation, losses), ...thinking.outputConfig };
  const requestMetadata = presentLabels(target.labels);
  const body: JsonRecord = {
    ...(system.length > 0 && { system }),
    messages,
    ...(tools !== undefined && { toolConfig: tools }),
    ...(Object.keys(outputConfig).length > 0 && { outputConfig }),
    // Claude tells which sequence it wrote only if asked.
    ...(stops.length > 0 && family === 'claude' && { additionalModelResponseFieldPaths: ['/stop_sequence'] }),
    ...(requestMetadata && { requestMetadata }),
  };
  const asked =
    request.askedOutputTokens ?? (thinking.on ? (modelFacts?.maxOutputTokens ?? DEFAULT_MAX_TOKENS) : undefined);
  return {
    finish(outputTokens) {
      const maxTokens = Math.min(asked ?? Number.POSITIVE_INFINITY, outputTokens ?? Number.POSITIVE_INFINITY);
      const bound = Number.isFinite(maxTokens) ? { maxTokens } : {};
      const inference = { ...bound, ...sampling, ...(stops.length > 0 && { stopSequences: stops }) };
      const additional = { ...topK, ...serial, ...thinking.within(maxTokens) };
      const whole = {
        ...body,
        ...(Object.keys(inference).length > 0 && { inferenceConfig: inference }),
        ...(Object.keys(additional).length > 0 && { additionalModelRequestFields: additional }),
      };
      return {
        path: `/model/${pathSegment(model)}/${request.stream ? 'converse-stream' : 'converse'}`,
        headers: [],
        body: Buffer.from(JSON.stringify(whole)),
      };
    },
  };
}

function thinkingOf(conversation: Conversation, model: string, family: ModelFamily, losses: Losses): ThinkingPlan {
  if (family === 'claude') {
    return thinkingPlan(conversation, model, losses);
  }
  if (conversation.reasoning !== undefined) {
    losses.hintOption('reasoning');
  }
  return NO_THINKING;
}

function noteUnsupported({ sampling, user }: Conversation, choices: number, losses: Losses): void {
  if (choices > 1) {
    losses.unsupportedOption('choices', 'Send one request for each choice');
  }
  for (const option of ['frequencyPenalty', 'presencePenalty', 'seed', 'logitBias', 'logprobs'] as const) {
    if (sampling[option] !== undefined) {
      losses.unsupportedOption(option);
    }
  }
  if (user !== undefined) {
    losses.hintOption('user');
  }
}

function systemOf({ system }: Conversation, caches: CachePoints): readonly JsonRecord[] {
  return system.flatMap(({ text, cache }) => (text.trim() === '' ? [] : [{ text }, ...caches.after(cache, { text })]));
}

function toolsOf(conversation: Conversation, caches: CachePoints, losses: Losses): JsonRecord | undefined {
  const { tools, toolChoice, messages } = conversation;
  const called = calledTools(messages);
  if (tools.length === 0) {
    return called.length === 0 ? undefined : { tools: called.map(toolSpec) };
  }
  if (toolChoice.type === 'none') {
    if (called.length === 0) {
      return undefined;
    }
    losses.unsupportedOption('toolChoice', 'Use auto');
  }
  return {
    tools: tools.flatMap((tool) => cachedTool(tool, caches)),
    ...(toolChoice.type === 'required' && { toolChoice: { any: {} } }),
    ...(toolChoice.type === 'tool' && { toolChoice: { tool: { name: toolChoice.name } } }),
  };
}

function cachedTool(tool: ConversationTool, caches: CachePoints): readonly JsonRecord[] {
  const spec = toolSpec(tool);
  return [spec, ...caches.after(tool.cache, spec)];
}

/** The tools that were called. The API refuses calls in a conversation that defines no tools. */
function calledTools(messages: Conversation['messages']): readonly ConversationTool[] {
  const parts = messages.flatMap((message) => message.parts);
  const names = new Set(parts.flatMap((part) => (part.type === 'tool-call' ? [part.name] : [])));
  return [...names].map((name) => ({ name, description: undefined, parameters: {}, strict: undefined }));
}

/** Converse cannot ask for one call at a time, but Claude's own field can. */
function serialTools({ parallelTools, tools, toolChoice }: Conversation, model: string, losses: Losses): JsonRecord {
  if (parallelTools || tools.length === 0) {
    return {};
  }
  if (toolChoice.type === 'auto' && takesSerialTools(model)) {
    return { tool_choice: { type: 'auto', disable_parallel_tool_use: true } };
  }
  losses.unsupportedOption('parallelTools');
  return {};
}

function toolSpec({ name, description, parameters, strict }: ConversationTool): JsonRecord {
  return {
    toolSpec: {
      name,
      // The API refuses an empty description.
      ...(description && { description }),
      inputSchema: { json: { type: 'object', ...parameters } },
      ...(strict === true && { strict }),
    },
  };
}

function samplingOf({ sampling }: Conversation, thinking: ThinkingPlan, losses: Losses): JsonRecord {
  const { temperature, topP } = sampling;
  if (temperature !== undefined && temperature > 1) {
    losses.unsupportedOption('temperature', 'Use 1 at most');
    return {};
  }
  if (thinking.on && temperature !== undefined && temperature !== 1) {
    losses.unsupportedOption('temperature', 'Remove it or the reasoning');
    return {};
  }
  return { ...(temperature !== undefined && { temperature }), ...(topP !== undefined && { topP }) };
}

function topKOf(
  { sampling: { topK } }: Conversation,
  family: ModelFamily,
  thinking: ThinkingPlan,
  losses: Losses,
): JsonRecord {
  if (topK === undefined) {
    return {};
  }
  if (thinking.on) {
    losses.unsupportedOption('topK', 'Remove it or the reasoning');
    return {};
  }
  switch (family) {
    case 'claude':
      return { top_k: topK };
    case 'nova':
      return { inferenceConfig: { topK } };
    default:
      losses.unsupportedOption('topK');
      return {};
  }
}

/** Models refuse sequences of white space. */
function stopsOf(stops: readonly string[], losses: Losses): readonly string[] {
  const usable = stops.filter((stop) => stop.trim() !== '');
  if (usable.length < stops.length) {
    losses.unsupportedOption('stops', 'Use sequences that are not only white space');
  }
  return usable;
}

function formatOf({ output }: Conversation, losses: Losses): JsonRecord {
  if (output.type === 'json') {
    losses.unsupportedOption('json', 'Use a JSON schema');
  }
  if (output.type !== 'schema') {
    return {};
  }
  const { name, description, schema } = output;
  const jsonSchema = { schema: JSON.stringify(schema), name, ...(description && { description }) };
  return { textFormat: { type: 'json_schema', structure: { jsonSchema } } };
}
