/** Tokens as providers tell them, brought to one form. */
import type { Usage } from './adapter.ts';
import type { JsonCursor } from './cursor.ts';

/** The numbers of a `usage` object by path (`prompt_tokens_details.cached_tokens`). */
export type Numbers = (path: string) => number | undefined;

/** Usage objects have some ten numbers; what is past this is not read. */
const MAX_NUMBERS = 64;

/** Reads the object at the cursor, and the objects in it. Undefined where there is none. */
export function readNumbers(cursor: JsonCursor): Numbers | undefined {
  const numbers = new Map<string, number>();
  if (!collect(cursor, '', numbers, 0)) return undefined;
  return (path) => numbers.get(path);
}

function collect(cursor: JsonCursor, prefix: string, numbers: Map<string, number>, depth: number): boolean {
  if (!cursor.enterObject()) return false;
  while (cursor.nextMember()) {
    const path = prefix + cursor.key;
    if (depth === 0 && cursor.isObject()) {
      collect(cursor, `${path}.`, numbers, depth + 1);
      continue;
    }
    const value = cursor.number();
    if (value !== undefined && value >= 0 && numbers.size < MAX_NUMBERS) numbers.set(path, value);
  }
  return true;
}

const OPENAI_PATHS = [
  'prompt_tokens',
  'completion_tokens',
  'total_tokens',
  'prompt_tokens_details.cached_tokens',
  'prompt_tokens_details.audio_tokens',
  'prompt_tokens_details.cache_write_tokens',
  'completion_tokens_details.reasoning_tokens',
  'completion_tokens_details.audio_tokens',
  'prompt_cache_hit_tokens',
  'input_tokens',
  'output_tokens',
  'input_tokens_details.cached_tokens',
  'input_tokens_details.cache_write_tokens',
  'output_tokens_details.reasoning_tokens',
] as const;

const ANTHROPIC_PATHS = [
  'input_tokens',
  'output_tokens',
  'cache_creation_input_tokens',
  'cache_read_input_tokens',
  'output_tokens_details.thinking_tokens',
] as const;

/**
 * Chat completions, completions, embeddings (`prompt_tokens`) and responses (`input_tokens`). Where the total is more than prompt and completion, the
 * rest is output: xAI and Google do not count reasoning as completion tokens, though they bill it.
 */
export function openAiUsage(numbers: Numbers): Usage | undefined {
  const input = numbers('prompt_tokens') ?? numbers('input_tokens');
  const told = numbers('completion_tokens') ?? numbers('output_tokens');
  if (input === undefined && told === undefined) return undefined;
  const total = numbers('total_tokens') ?? 0;
  return {
    input: input ?? 0,
    output: Math.max(told ?? 0, total - (input ?? 0)),
    cachedInput:
      numbers('prompt_tokens_details.cached_tokens') ??
      numbers('input_tokens_details.cached_tokens') ??
      numbers('prompt_cache_hit_tokens') ??
      0,
    cacheWriteInput:
      numbers('prompt_tokens_details.cache_write_tokens') ?? numbers('input_tokens_details.cache_write_tokens') ?? 0,
    reasoningOutput:
      numbers('completion_tokens_details.reasoning_tokens') ?? numbers('output_tokens_details.reasoning_tokens') ?? 0,
    audioInput: numbers('prompt_tokens_details.audio_tokens') ?? 0,
    audioOutput: numbers('completion_tokens_details.audio_tokens') ?? 0,
  };
}

/**
 * Anthropic tells cached and cache-write tokens beside `input_tokens`. A stream tells usage twice: what is said later replaces what was said before, and
 * what is not said again stands.
 */
export function anthropicUsage(numbers: Numbers, before?: Usage): Usage | undefined {
  const plain = numbers('input_tokens');
  const output = numbers('output_tokens');
  if (plain === undefined && output === undefined) return before;
  const cachedInput = numbers('cache_read_input_tokens') ?? before?.cachedInput ?? 0;
  const cacheWriteInput = numbers('cache_creation_input_tokens') ?? before?.cacheWriteInput ?? 0;
  const plainBefore = before === undefined ? 0 : before.input - before.cachedInput - before.cacheWriteInput;
  return {
    input: (plain ?? plainBefore) + cachedInput + cacheWriteInput,
    output: output ?? before?.output ?? 0,
    cachedInput,
    cacheWriteInput,
    reasoningOutput: numbers('output_tokens_details.thinking_tokens') ?? before?.reasoningOutput ?? 0,
    audioInput: 0,
    audioOutput: 0,
  };
}

/** The part of a shape that reads the numbers of a `usage` object. */
export const OPENAI_USAGE_SHAPE = numbersShape(OPENAI_PATHS);
export const ANTHROPIC_USAGE_SHAPE = numbersShape(ANTHROPIC_PATHS);

interface NumbersShape {
  readonly object: Record<string, { value: true } | { object: Record<string, { value: true }> }>;
}

function numbersShape(paths: readonly string[]): NumbersShape {
  const shape: NumbersShape = { object: {} };
  for (const path of paths) {
    const [name, nested] = path.split('.') as [string, string | undefined];
    if (nested === undefined) {
      shape.object[name] = { value: true };
    } else {
      const inner = shape.object[name];
      if (inner !== undefined && 'object' in inner) inner.object[nested] = { value: true };
      else shape.object[name] = { object: { [nested]: { value: true } } };
    }
  }
  return shape;
}
