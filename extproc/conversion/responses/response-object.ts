/** The response object, in documents and in the first and last events of streams. */
import type { ResponseOptions } from '../../providers/adapter.ts';
import { responseUsage } from '../../providers/openai/response-body.ts';
import type { Usage } from '../../usage.ts';
import type { FinishReason } from '../answer.ts';
import type { JsonRecord } from '../conversation.ts';
import { recordOf } from '../json-values.ts';
import { type ToolIdentities, toolIdentities } from './tool-names.ts';

/** What a response needs of its request. */
export interface ResponseEcho {
  /** Members that the response repeats. */
  readonly members: JsonRecord;
  readonly tools: ToolIdentities;
}

/** What OpenAI's API answers where the request names no value. */
const defaults: JsonRecord = {
  background: false,
  instructions: null,
  max_output_tokens: null,
  max_tool_calls: null,
  metadata: {},
  parallel_tool_calls: true,
  previous_response_id: null,
  prompt_cache_key: null,
  reasoning: { effort: null, summary: null },
  safety_identifier: null,
  temperature: 1,
  text: { format: { type: 'text' } },
  tool_choice: 'auto',
  tools: [],
  top_p: 1,
  truncation: 'disabled',
};
const OPTIONAL = ['user'];

/** A stream repeats the members three times, and keeps them while it lasts. */
const MAX_ECHOED_CHARACTERS = 65_536;

export function responseEcho(request: JsonRecord): ResponseEcho {
  const members: Record<string, unknown> = {};
  let left = MAX_ECHOED_CHARACTERS;
  for (const name of [...Object.keys(defaults), ...OPTIONAL]) {
    const value = request[name] ?? undefined;
    const length = value === undefined ? 0 : JSON.stringify(value).length;
    if (length > 0 && length <= left) {
      const filled = recordOf(defaults[name]);
      members[name] = filled === undefined ? value : { ...filled, ...recordOf(value) };
      left -= length;
    }
  }
  return { members, tools: toolIdentities(request['tools']) };
}

export interface ResponseState {
  readonly id: string;
  readonly model: string;
  readonly status: 'in_progress' | 'completed' | 'incomplete' | 'failed';
  readonly output: readonly JsonRecord[];
  readonly usage?: Usage | undefined;
  readonly error?: JsonRecord;
  /** Why the response is incomplete. */
  readonly incomplete?: string | undefined;
}

export function responseObject(
  { id, model, status, output, usage, error, incomplete }: ResponseState,
  { members }: ResponseEcho,
  { createdMs = 0 }: ResponseOptions,
): JsonRecord {
  return {
    id,
    object: 'response',
    created_at: Math.floor(createdMs / 1000),
    status,
    error: error ?? null,
    incomplete_details: incomplete === undefined ? null : { reason: incomplete },
    model,
    output,
    ...defaults,
    ...members,
    service_tier: null,
    // Nothing is stored, so no later request can refer to this response.
    store: false,
    usage: usage === undefined ? null : responseUsage(usage),
  };
}

/** Returns why a response is incomplete; undefined if the model was done. */
export function incompleteReason(reason: FinishReason): string | undefined {
  switch (reason) {
    case 'length':
      return 'max_output_tokens';
    case 'refusal':
      return 'content_filter';
    default:
      return undefined;
  }
}
