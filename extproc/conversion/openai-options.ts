/** Reads options that chat completions and responses have in common, under other names. */
import type { Conversation, OutputFormat, ReasoningEffort, ReasoningWish } from './conversation.ts';
import type { Losses } from './losses.ts';
import type { RequestFields } from './reader-fields.ts';

const efforts: ReadonlySet<string> = new Set<ReasoningEffort>(['minimal', 'low', 'medium', 'high', 'xhigh', 'max']);

/** `at` is the path of the effort. */
export function readEffort(effort: string | undefined, at: string, losses: Losses): ReasoningWish | undefined {
  if (effort === undefined) {
    return undefined;
  }
  if (effort === 'none') {
    return { type: 'off' };
  }
  if (!efforts.has(effort)) {
    losses.invalid(at, 'must be none, minimal, low, medium, high, xhigh or max');
  }
  return { type: 'effort', effort: effort as ReasoningEffort };
}

export function readSchema(format: RequestFields): OutputFormat {
  return {
    type: 'schema',
    name: format.text('name') ?? 'response',
    description: format.text('description'),
    schema: format.record('schema') ?? {},
    strict: format.flag('strict'),
  };
}

/** OpenAI caches prompts without being asked; a key or a retention is a wish for it. */
export function readCache(fields: RequestFields): Conversation['cache'] {
  const key = fields.text('prompt_cache_key');
  const retention = fields.text('prompt_cache_retention');
  const isWanted = key !== undefined || retention !== undefined;
  return isWanted ? { lifetime: retention === '24h' ? 'long' : 'short' } : undefined;
}
