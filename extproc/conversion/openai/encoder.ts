/** Builds chat completions requests: https://platform.openai.com/docs/api-reference/chat/create */
import { serverDialect } from '../../providers/openai/server-dialects.ts';
import { hidesReasoning } from '../../providers/reasoning.ts';
import type { Conversation, ConversationTool, JsonRecord, ReasoningWish } from '../conversation.ts';
import type { ConversionTarget, EncodedRequest } from '../conversion.ts';
import type { Losses } from '../losses.ts';
import { chatMessages } from './messages.ts';

const PATH = '/v1/chat/completions';
const MAX_STOPS = 4;
/** Of `user`. */
const MAX_USER_CHARACTERS = 64;

/** Budgets up to these are the effort; larger ones are high. */
const LOW_BUDGET_TOKENS = 2_048;
const MEDIUM_BUDGET_TOKENS = 8_192;

export function encodeChat(conversation: Conversation, target: ConversionTarget, losses: Losses): EncodedRequest {
  const { request, model, backend } = target;
  const { boundName, refusesIncludeUsage } = serverDialect(backend);
  const { sampling, stops, tools } = conversation;
  if (request.choices > 1) {
    losses.unsupportedOption('choices', 'Send one request for each choice');
  }
  if (sampling.topK !== undefined) {
    losses.unsupportedOption('topK');
  }
  if (stops.length > MAX_STOPS) {
    losses.unsupportedOption('stops', `Use at most ${MAX_STOPS} sequences`);
  }
  const body: JsonRecord = {
    model,
    messages: chatMessages(conversation, losses),
    ...(tools.length > 0 && toolsOf(conversation)),
    ...formatOf(conversation),
    ...samplingOf(conversation),
    ...(stops.length > 0 && { stop: stops.slice(0, MAX_STOPS) }),
    ...effortOf(conversation.reasoning, target, losses),
    ...userOf(conversation.user, losses),
    ...(request.stream && { stream: true, ...(!refusesIncludeUsage && { stream_options: { include_usage: true } }) }),
  };
  const asked = request.askedOutputTokens ?? Number.POSITIVE_INFINITY;
  return {
    finish(outputTokens) {
      const bound = Math.min(asked, outputTokens ?? Number.POSITIVE_INFINITY);
      const whole = Number.isFinite(bound) ? { ...body, [boundName]: bound } : body;
      return { path: PATH, headers: [], body: Buffer.from(JSON.stringify(whole)) };
    },
  };
}

function toolsOf({ tools, toolChoice, parallelTools }: Conversation): JsonRecord {
  const choice =
    toolChoice.type === 'tool' ? { type: 'function', function: { name: toolChoice.name } } : toolChoice.type;
  return {
    tools: tools.map(toolOf),
    ...(choice !== 'auto' && { tool_choice: choice }),
    ...(!parallelTools && { parallel_tool_calls: false }),
  };
}

function toolOf({ name, description, parameters, strict }: ConversationTool): JsonRecord {
  return {
    type: 'function',
    function: {
      name,
      ...(description !== undefined && { description }),
      parameters,
      ...(strict !== undefined && { strict }),
    },
  };
}

function formatOf({ output }: Conversation): JsonRecord {
  if (output.type !== 'schema') {
    return output.type === 'json' ? { response_format: { type: 'json_object' } } : {};
  }
  const { name, description, schema, strict } = output;
  const format = { name, description, schema, strict };
  return { response_format: { type: 'json_schema', json_schema: format } };
}

function samplingOf({ sampling }: Conversation): JsonRecord {
  const { temperature, topP, frequencyPenalty, presencePenalty, seed, logitBias, logprobs } = sampling;
  return {
    ...(temperature !== undefined && { temperature }),
    ...(topP !== undefined && { top_p: topP }),
    ...(frequencyPenalty !== undefined && { frequency_penalty: frequencyPenalty }),
    ...(presencePenalty !== undefined && { presence_penalty: presencePenalty }),
    ...(seed !== undefined && { seed }),
    ...(logitBias !== undefined && { logit_bias: logitBias }),
    ...(logprobs !== undefined && { logprobs: true, top_logprobs: logprobs }),
  };
}

/** Models that do not reason refuse an effort; those that do reason without one. */
function effortOf(wish: ReasoningWish | undefined, target: ConversionTarget, losses: Losses): JsonRecord {
  if (wish?.type !== 'effort' && wish?.type !== 'budget') {
    return {};
  }
  if (!reasons(target)) {
    losses.hintOption('reasoning');
    return {};
  }
  return { reasoning_effort: wish.type === 'effort' ? wish.effort : effortOfBudget(wish.tokens) };
}

/** The name of a deployment need not be that of its model. */
function reasons({ model, modelFacts }: ConversionTarget): boolean {
  const { reasoningTokens = 'Auto' } = modelFacts ?? {};
  return reasoningTokens === 'Auto' ? hidesReasoning(model) : reasoningTokens === 'Billed';
}

function effortOfBudget(tokens: number): string {
  return tokens <= LOW_BUDGET_TOKENS ? 'low' : tokens <= MEDIUM_BUDGET_TOKENS ? 'medium' : 'high';
}

function userOf(user: string | undefined, losses: Losses): JsonRecord {
  if (user === undefined) {
    return {};
  }
  if (user.length > MAX_USER_CHARACTERS) {
    losses.hintOption('user');
    return {};
  }
  return { user };
}
