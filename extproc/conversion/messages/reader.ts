/** Reads messages requests: https://platform.claude.com/docs/en/api/messages */
import type {
  Conversation,
  ConversationMessage,
  ConversationTool,
  JsonRecord,
  OutputFormat,
  ReasoningEffort,
  ReasoningWish,
  TextPart,
  ToolChoice,
} from '../conversation.ts';
import { recordOf, stringOf } from '../json-values.ts';
import type { Losses } from '../losses.ts';
import { RequestFields } from '../reader-fields.ts';
import { cacheHint, readBlocks } from './blocks.ts';

const KNOWN: ReadonlySet<string> = new Set([
  ...['model', 'max_tokens', 'messages', 'system', 'stream', 'temperature', 'top_p', 'top_k', 'stop_sequences'],
  ...['tools', 'tool_choice', 'thinking', 'output_config', 'output_format', 'metadata', 'cache_control'],
]);

/** Fields whose loss does not change the response. `context_management` saves input. */
const HINTS: ReadonlySet<string> = new Set(['diagnostics', 'context_management']);

/** Values of other fields that ask for nothing. */
const NEUTRAL: ReadonlyMap<string, readonly unknown[]> = new Map<string, readonly unknown[]>([
  ['service_tier', ['auto', 'standard_only']],
  ['speed', ['standard']],
]);

/** Members of a tool that only help the provider. */
const TOOL_HINTS = ['input_examples', 'eager_input_streaming', 'defer_loading', 'allowed_callers'];

const efforts: ReadonlySet<string> = new Set<ReasoningEffort>(['low', 'medium', 'high', 'xhigh', 'max']);

export function readMessages(document: unknown, losses: Losses): Conversation {
  const body = recordOf(document) ?? {};
  const fields = new RequestFields(body, losses);
  noteOthers(body, losses);
  const system = [...readBlocks(fields, 'system', '', losses)].filter((part) => part.type === 'text');
  const messages = readTurns(fields, system, losses);
  const choice = fields.record('tool_choice') ?? {};
  const { output, reasoning } = readOutputConfig(fields, losses);
  const stops = fields.list('stop_sequences') ?? [];
  if (!stops.every((stop) => typeof stop === 'string')) {
    losses.invalid('stop_sequences', 'must be an array of strings');
  }
  return {
    system,
    messages,
    tools: fields.records('tools').flatMap(({ object, at }) => readTool(object, at, losses)),
    toolChoice: readToolChoice(choice, losses),
    parallelTools: choice['disable_parallel_tool_use'] !== true,
    output,
    sampling: {
      temperature: fields.number('temperature'),
      topP: fields.number('top_p'),
      topK: fields.number('top_k'),
    },
    stops: stops as readonly string[],
    reasoning,
    cache: cacheHint(body),
    user: stringOf(fields.record('metadata')?.['user_id']),
  };
}

function noteOthers(body: JsonRecord, losses: Losses): void {
  for (const [name, value] of Object.entries(body)) {
    if (KNOWN.has(name) || value === null || NEUTRAL.get(name)?.includes(value) === true) {
      continue;
    }
    if (HINTS.has(name)) {
      losses.hint(name);
    } else {
      losses.unsupported(name);
    }
  }
}

/** Moves messages of the role system to the instructions. */
function readTurns(fields: RequestFields, system: TextPart[], losses: Losses): readonly ConversationMessage[] {
  if (fields.list('messages') === undefined) {
    losses.invalid('messages', 'is missing');
  }
  return fields.records('messages').flatMap(({ object, at }): ConversationMessage[] => {
    const { role } = object;
    const parts = readBlocks(new RequestFields(object, losses, `${at}.`), 'content', `${at}.`, losses);
    if (role === 'user' || role === 'assistant') {
      return [{ role, parts }];
    }
    if (role === 'system') {
      system.push(...parts.filter((part) => part.type === 'text'));
    } else {
      losses.invalid(`${at}.role`, 'must be user, assistant or system');
    }
    return [];
  });
}

function readTool(object: JsonRecord, at: string, losses: Losses): readonly ConversationTool[] {
  const { type = 'custom' } = object;
  const fields = new RequestFields(object, losses, `${at}.`);
  const name = fields.text('name');
  if (type !== 'custom' && type !== null) {
    losses.unsupported(at, 'Use tools of your own');
    return [];
  }
  if (name === undefined) {
    losses.invalid(`${at}.name`, 'is missing');
    return [];
  }
  for (const hint of TOOL_HINTS) {
    if (fields.any(hint) !== undefined) {
      losses.hint(`tools.${hint}`);
    }
  }
  return [
    {
      name,
      description: fields.text('description'),
      parameters: fields.record('input_schema') ?? { type: 'object', properties: {} },
      strict: fields.flag('strict'),
      cache: cacheHint(object),
    },
  ];
}

function readToolChoice(choice: JsonRecord, losses: Losses): ToolChoice {
  switch (choice['type']) {
    case undefined:
    case 'auto':
      return { type: 'auto' };
    case 'any':
      return { type: 'required' };
    case 'none':
      return { type: 'none' };
    case 'tool':
      return { type: 'tool', name: stringOf(choice['name']) ?? '' };
    default:
      losses.unsupportedOption('toolChoice');
      return { type: 'auto' };
  }
}

interface OutputWishes {
  readonly output: OutputFormat;
  readonly reasoning: ReasoningWish | undefined;
}

function readOutputConfig(fields: RequestFields, losses: Losses): OutputWishes {
  const config = new RequestFields(fields.record('output_config') ?? {}, losses, 'output_config.');
  const format = config.record('format') ?? fields.record('output_format');
  if (format !== undefined && format['type'] !== 'json_schema') {
    losses.unsupportedOption('output');
  }
  const schema = recordOf(format?.['schema']);
  return {
    output: schema === undefined ? { type: 'text' } : { type: 'schema', name: 'response', schema, strict: true },
    reasoning: readThinking(fields.record('thinking'), config.text('effort'), losses),
  };
}

function readThinking(
  thinking: JsonRecord | undefined,
  effort: string | undefined,
  losses: Losses,
): ReasoningWish | undefined {
  if (effort !== undefined && !efforts.has(effort)) {
    losses.invalid('output_config.effort', 'must be low, medium, high, xhigh or max');
  }
  if (thinking?.['type'] === 'disabled') {
    return { type: 'off' };
  }
  if (effort !== undefined) {
    return { type: 'effort', effort: effort as ReasoningEffort };
  }
  const tokens = thinking?.['budget_tokens'];
  if (typeof tokens === 'number') {
    return { type: 'budget', tokens };
  }
  return thinking === undefined ? undefined : { type: 'adaptive' };
}
