/** Reads requests for responses: https://platform.openai.com/docs/api-reference/responses/create */
import type { Conversation, JsonRecord, OutputFormat, ReasoningWish, TextPart } from '../conversation.ts';
import { listOf, recordOf } from '../json-values.ts';
import type { Losses } from '../losses.ts';
import { readCache, readEffort, readSchema } from '../openai-options.ts';
import { RequestFields } from '../reader-fields.ts';
import { InputReader } from './input-items.ts';
import { readTools } from './tools.ts';

/** Fields that are read elsewhere, or whose values below change nothing. */
const KNOWN: ReadonlySet<string> = new Set([
  ...['model', 'input', 'instructions', 'stream', 'stream_options', 'max_output_tokens', 'tools', 'tool_choice'],
  ...['parallel_tool_calls', 'text', 'reasoning', 'temperature', 'top_p', 'include', 'user', 'safety_identifier'],
  ...[
    'prompt_cache_key',
    'prompt_cache_retention',
    ...['previous_response_id', 'conversation', 'prompt', 'background'],
  ],
]);

/**
 * Fields whose loss does not change the response: OpenAI's API repeats `metadata`, as the gateway
 * does, and stores responses, which the gateway answers with `store: false`. `max_tool_calls` is
 * about tools that OpenAI runs; truncation and compaction save input.
 */
const HINTS: ReadonlySet<string> = new Set([
  ...['metadata', 'store', 'truncation', 'context_management', 'max_tool_calls', 'client_metadata'],
  'prompt_cache_options',
]);

/** Values of other fields that ask for nothing. */
const NEUTRAL: ReadonlyMap<string, readonly unknown[]> = new Map<string, readonly unknown[]>([
  ['store', [false]],
  ['service_tier', ['auto', 'default']],
  ['truncation', ['disabled']],
  ['top_logprobs', [0]],
]);

/** Fields that refer to what OpenAI keeps; a request without them would have another meaning. */
const STATEFUL: readonly (readonly [name: string, needs: string, fix: string])[] = [
  ['previous_response_id', 'needs stored responses', 'Send the whole conversation in input'],
  ['conversation', 'needs stored conversations', 'Send the whole conversation in input'],
  ['prompt', 'needs stored prompts', 'Send the text in instructions and input'],
  ['background', 'needs stored responses', 'Use stream'],
];

const LOGPROBS = 'message.output_text.logprobs';

export function readResponses(document: unknown, losses: Losses): Conversation {
  const body = recordOf(document) ?? {};
  const fields = new RequestFields(body, losses);
  noteOthers(body, losses);
  const instructions = fields.text('instructions');
  const { system, messages } = new InputReader(losses).read(fields);
  const { tools, toolChoice } = readTools(fields, losses);
  return {
    system: [...(instructions ? [{ type: 'text', text: instructions } satisfies TextPart] : []), ...system],
    messages,
    tools,
    toolChoice,
    parallelTools: fields.flag('parallel_tool_calls') ?? true,
    output: readText(fields, losses),
    sampling: { temperature: fields.number('temperature'), topP: fields.number('top_p') },
    stops: [],
    reasoning: readReasoning(fields, losses),
    cache: readCache(fields),
    user: fields.text('safety_identifier') ?? fields.text('user'),
  };
}

function noteOthers(body: JsonRecord, losses: Losses): void {
  for (const [name, needs, fix] of STATEFUL) {
    const value = body[name] ?? false;
    if (value !== false) {
      losses.refused(name, needs, fix);
    }
  }
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
  // Other entries ask for what tools of OpenAI found, or for reasoning, which is always there.
  if (listOf(body['include'])?.includes(LOGPROBS) === true) {
    losses.unsupported('include');
  }
}

function readText(fields: RequestFields, losses: Losses): OutputFormat {
  const text = new RequestFields(fields.record('text') ?? {}, losses, 'text.');
  // Agents send it with each request, and other models have no such setting.
  if ((text.text('verbosity') ?? 'medium') !== 'medium') {
    losses.hint('text.verbosity');
  }
  const format = text.record('format');
  switch (format?.['type']) {
    case undefined:
    case 'text':
      return { type: 'text' };
    case 'json_object':
      return { type: 'json' };
    case 'json_schema':
      return readSchema(new RequestFields(format, losses, 'text.format.'));
    default:
      losses.unsupportedOption('output');
      return { type: 'text' };
  }
}

/** `summary` asks for what the client gets anyway. */
function readReasoning(fields: RequestFields, losses: Losses): ReasoningWish | undefined {
  const reasoning = new RequestFields(fields.record('reasoning') ?? {}, losses, 'reasoning.');
  return readEffort(reasoning.text('effort'), 'reasoning.effort', losses);
}
