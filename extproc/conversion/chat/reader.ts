/** Reads chat completions requests: https://platform.openai.com/docs/api-reference/chat/create */
import type {
  Conversation,
  ConversationTool,
  JsonRecord,
  OutputFormat,
  Sampling,
  ToolChoice,
} from '../conversation.ts';
import { recordOf, stringOf } from '../json-values.ts';
import type { Losses } from '../losses.ts';
import { readCache, readEffort, readSchema } from '../openai-options.ts';
import { RequestFields } from '../reader-fields.ts';
import { readChatMessages } from './messages.ts';

/** Fields that are read elsewhere, or whose values below change nothing. */
const KNOWN: ReadonlySet<string> = new Set([
  ...['model', 'messages', 'stream', 'stream_options', 'n', 'max_tokens', 'max_completion_tokens'],
  ...['tools', 'tool_choice', 'parallel_tool_calls', 'response_format', 'stop', 'reasoning_effort'],
  ...['temperature', 'top_p', 'top_k', 'frequency_penalty', 'presence_penalty', 'seed', 'logit_bias'],
  ...['logprobs', 'top_logprobs', 'user', 'safety_identifier', 'prompt_cache_key', 'prompt_cache_retention'],
]);

/** Fields whose loss does not change the response. */
const HINTS: ReadonlySet<string> = new Set(['metadata', 'prediction', 'prompt_cache_options']);

/** Values of other fields that ask for nothing. */
const NEUTRAL: ReadonlyMap<string, readonly unknown[]> = new Map<string, readonly unknown[]>([
  ['store', [false]],
  ['service_tier', ['auto', 'default']],
  ['verbosity', ['medium']],
]);

export function readChat(document: unknown, losses: Losses): Conversation {
  const body = recordOf(document) ?? {};
  const fields = new RequestFields(body, losses);
  noteOthers(body, losses);
  const { system, messages } = readChatMessages(fields, losses);
  return {
    system,
    messages,
    tools: fields.records('tools').flatMap(({ object, at }) => readTool(object, at, losses)),
    toolChoice: readToolChoice(fields.any('tool_choice'), losses),
    parallelTools: fields.flag('parallel_tool_calls') ?? true,
    output: readFormat(fields, losses),
    sampling: readSampling(fields),
    stops: readStops(fields.any('stop'), losses),
    reasoning: readEffort(fields.text('reasoning_effort'), 'reasoning_effort', losses),
    cache: readCache(fields),
    user: fields.text('safety_identifier') ?? fields.text('user'),
  };
}

function noteOthers(body: JsonRecord, losses: Losses): void {
  for (const [name, value] of Object.entries(body)) {
    if (KNOWN.has(name) || value === null || NEUTRAL.get(name)?.includes(value) === true) {
      continue;
    }
    if (name === 'modalities' && Array.isArray(value) && value.every((each) => each === 'text')) {
      continue;
    }
    if (HINTS.has(name)) {
      losses.hint(name);
    } else {
      losses.unsupported(name);
    }
  }
}

function readTool(object: JsonRecord, at: string, losses: Losses): readonly ConversationTool[] {
  if (object['type'] !== 'function') {
    losses.unsupported(at, 'Use tools of the type function');
    return [];
  }
  const fields = new RequestFields(recordOf(object['function']) ?? {}, losses, `${at}.function.`);
  const name = fields.text('name');
  if (name === undefined) {
    losses.invalid(`${at}.function.name`, 'is missing');
    return [];
  }
  return [
    {
      name,
      description: fields.text('description'),
      parameters: fields.record('parameters') ?? { type: 'object', properties: {} },
      strict: fields.flag('strict'),
    },
  ];
}

function readToolChoice(value: unknown, losses: Losses): ToolChoice {
  if (value === undefined || value === 'auto') {
    return { type: 'auto' };
  }
  if (value === 'none' || value === 'required') {
    return { type: value };
  }
  const name = stringOf(recordOf(recordOf(value)?.['function'])?.['name']);
  if (name === undefined) {
    losses.unsupportedOption('toolChoice', 'Use auto, none, required or one function');
    return { type: 'auto' };
  }
  return { type: 'tool', name };
}

function readFormat(fields: RequestFields, losses: Losses): OutputFormat {
  const format = fields.record('response_format');
  switch (format?.['type']) {
    case undefined:
    case 'text':
      return { type: 'text' };
    case 'json_object':
      return { type: 'json' };
    case 'json_schema': {
      const at = 'response_format.json_schema';
      return readSchema(new RequestFields(recordOf(format['json_schema']) ?? {}, losses, `${at}.`));
    }
    default:
      losses.unsupportedOption('output');
      return { type: 'text' };
  }
}

function readSampling(fields: RequestFields): Sampling {
  const bias = fields.record('logit_bias');
  return {
    temperature: fields.number('temperature'),
    topP: fields.number('top_p'),
    topK: fields.number('top_k'),
    frequencyPenalty: fields.number('frequency_penalty') || undefined,
    presencePenalty: fields.number('presence_penalty') || undefined,
    seed: fields.number('seed'),
    logitBias: bias === undefined || Object.keys(bias).length === 0 ? undefined : bias,
    logprobs: fields.flag('logprobs') === true ? (fields.number('top_logprobs') ?? 0) : undefined,
  };
}

function readStops(value: unknown, losses: Losses): readonly string[] {
  const stops = typeof value === 'string' ? [value] : (value ?? []);
  if (Array.isArray(stops) && stops.every((stop) => typeof stop === 'string')) {
    return stops;
  }
  losses.invalid('stop', 'must be a string or an array of strings');
  return [];
}
