/** Builds requests of Cohere's chat API: https://docs.cohere.com/reference/chat */
import type { Conversation, ConversationTool, JsonRecord, ReasoningEffort, ReasoningWish } from '../conversation.ts';
import type { ConversionTarget, EncodedRequest } from '../conversion.ts';
import type { Losses } from '../losses.ts';
import { cohereMessages } from './messages.ts';
import { thinks } from './models.ts';

const PATH = '/v2/chat';
const MAX_STOPS = 5;
const MAX_TOP_K = 500;
const LEAST_TOP_P = 0.01;
const MOST_TOP_P = 0.99;

/** Undefined: as much as the model wants. */
const budgets: Readonly<Record<ReasoningEffort, number | undefined>> = {
  minimal: 512,
  low: 1_024,
  medium: 8_192,
  high: undefined,
  xhigh: undefined,
  max: undefined,
};

export function encodeCohereChat(conversation: Conversation, target: ConversionTarget, losses: Losses): EncodedRequest {
  const { request, model } = target;
  const { tools, user, reasoning } = conversation;
  if (request.choices > 1) {
    losses.unsupportedOption('choices', 'Send one request for each choice');
  }
  if (user !== undefined) {
    losses.hintOption('user');
  }
  const body: JsonRecord = {
    model,
    messages: cohereMessages(conversation, model, losses),
    ...(tools.length > 0 && toolsOf(conversation, losses)),
    ...formatOf(conversation, losses),
    ...samplingOf(conversation, losses),
    ...stopsOf(conversation.stops, losses),
    ...(request.stream && { stream: true }),
  };
  const thinking = thinkingWithin(reasoning, model, losses);
  const asked = request.askedOutputTokens ?? Number.POSITIVE_INFINITY;
  return {
    finish(outputTokens) {
      const maxTokens = Math.min(asked, outputTokens ?? Number.POSITIVE_INFINITY);
      const whole = {
        ...body,
        ...thinking(maxTokens),
        ...(Number.isFinite(maxTokens) && { max_tokens: maxTokens }),
      };
      return { path: PATH, headers: [], body: Buffer.from(JSON.stringify(whole)) };
    },
  };
}

/** A single tool is forced by leaving out the others, because the API cannot name one. */
function toolsOf({ tools, toolChoice, parallelTools }: Conversation, losses: Losses): JsonRecord {
  if (!parallelTools) {
    losses.unsupportedOption('parallelTools');
  }
  const usable = toolChoice.type === 'tool' ? tools.filter(({ name }) => name === toolChoice.name) : tools;
  if (usable.length === 0) {
    losses.invalid('tool_choice', 'names a tool that `tools` does not have');
  }
  return {
    tools: usable.map(toolOf),
    ...(usable.some(({ strict }) => strict === true) && { strict_tools: true }),
    ...(toolChoice.type === 'none' && { tool_choice: 'NONE' }),
    ...((toolChoice.type === 'required' || toolChoice.type === 'tool') && { tool_choice: 'REQUIRED' }),
  };
}

function toolOf({ name, description, parameters }: ConversationTool): JsonRecord {
  const schema = { type: 'object', ...parameters };
  return { type: 'function', function: { name, ...(description && { description }), parameters: schema } };
}

function formatOf({ output, tools }: Conversation, losses: Losses): JsonRecord {
  if (output.type === 'text') {
    return {};
  }
  if (tools.length > 0) {
    losses.unsupportedOption(output.type === 'json' ? 'json' : 'output', 'Remove it or the tools');
    return {};
  }
  return {
    response_format: { type: 'json_object', ...(output.type === 'schema' && { json_schema: output.schema }) },
  };
}

function samplingOf({ sampling }: Conversation, losses: Losses): JsonRecord {
  const { temperature, topP, topK, seed, frequencyPenalty, presencePenalty } = sampling;
  for (const option of ['logitBias', 'logprobs'] as const) {
    if (sampling[option] !== undefined) {
      losses.unsupportedOption(option);
    }
  }
  for (const option of ['frequencyPenalty', 'presencePenalty'] as const) {
    const penalty = sampling[option] ?? 0;
    if (penalty < 0 || penalty > 1) {
      losses.unsupportedOption(option, 'Use a number from 0 to 1');
    }
  }
  if (topK !== undefined && topK > MAX_TOP_K) {
    losses.unsupportedOption('topK', `Use ${MAX_TOP_K} at most`);
  }
  const seedFits = seed === undefined || (Number.isSafeInteger(seed) && seed >= 0);
  if (!seedFits) {
    losses.unsupportedOption('seed', 'Use a whole number of at least 0');
  }
  return {
    ...(temperature !== undefined && { temperature }),
    ...(topP !== undefined && { p: Math.min(Math.max(topP, LEAST_TOP_P), MOST_TOP_P) }),
    ...(topK !== undefined && topK <= MAX_TOP_K && { k: topK }),
    ...(seed !== undefined && seedFits && { seed }),
    ...penaltyOf('frequency_penalty', frequencyPenalty),
    ...penaltyOf('presence_penalty', presencePenalty),
  };
}

function penaltyOf(name: string, penalty: number | undefined): JsonRecord {
  return penalty !== undefined && penalty >= 0 && penalty <= 1 ? { [name]: penalty } : {};
}

function stopsOf(stops: readonly string[], losses: Losses): JsonRecord {
  const usable = stops.filter((stop) => stop !== '').slice(0, MAX_STOPS);
  if (usable.length < stops.length) {
    losses.unsupportedOption('stops', `Use at most ${MAX_STOPS} sequences, none of them empty`);
  }
  return usable.length === 0 ? {} : { stop_sequences: usable };
}

/** Returns `thinking` for a bound on the output, which includes the thinking. */
function thinkingWithin(
  wish: ReasoningWish | undefined,
  model: string,
  losses: Losses,
): (maxTokens: number) => JsonRecord {
  if (wish === undefined) {
    return () => ({});
  }
  if (!thinks(model)) {
    if (wish.type !== 'off') {
      losses.hintOption('reasoning');
    }
    return () => ({});
  }
  if (wish.type === 'off') {
    return () => ({ thinking: { type: 'disabled' } });
  }
  const wanted = wish.type === 'budget' ? wish.tokens : wish.type === 'effort' ? budgets[wish.effort] : undefined;
  return (maxTokens) => {
    // Half of the output at most, so that the answer has room.
    const budget = Math.min(wanted ?? Number.POSITIVE_INFINITY, Math.floor(maxTokens / 2));
    return { thinking: { type: 'enabled', ...(Number.isFinite(budget) && { token_budget: Math.max(1, budget) }) } };
  };
}
