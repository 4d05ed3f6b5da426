/** Normalizes the token numbers that providers report. */

import type { JsonCursor } from '../json/cursor.ts';
import type { MatchesByPath } from '../json/scanner.ts';
import type { Shape } from '../json/shape.ts';
import type { Usage } from '../usage.ts';

/** The numbers of a `usage` object by path (`prompt_tokens_details.cached_tokens`). */
export interface UsageNumbers {
  get(path: string): number | undefined;
}

/** Usage objects have some ten numbers; further ones are ignored. */
const MAX_NUMBERS = 64;

/** More tokens than any request uses, and few enough that sums of such numbers stay exact. */
const MAX_TOLD_TOKENS = 2 ** 40;

/**
 * Reads a token count as a provider wrote it: rounded up and bounded. Undefined if the value is no
 * count.
 */
export function toldTokens(value: unknown): number | undefined {
  if (typeof value !== 'number' || !(value >= 0)) {
    return undefined;
  }
  return Math.min(Math.ceil(value), MAX_TOLD_TOKENS) + 0;
}

/**
 * Reads the object at the cursor, and nested objects. Undefined if there is none. `onTier`: called
 * with the service tier where the object names one (Anthropic).
 */
export function readNumbers(
  cursor: JsonCursor,
  onTier?: (serviceTier: string) => void,
): ReadonlyMap<string, number> | undefined {
  const numbers = new Map<string, number>();
  return collect(cursor, '', numbers, 0, onTier) ? numbers : undefined;
}

function collect(
  cursor: JsonCursor,
  prefix: string,
  numbers: Map<string, number>,
  depth: number,
  onTier?: (serviceTier: string) => void,
): boolean {
  if (!cursor.enterObject()) {
    return false;
  }
  while (cursor.nextMember()) {
    const path = prefix + cursor.key;
    if (depth === 0 && cursor.isObject()) {
      collect(cursor, `${path}.`, numbers, depth + 1);
    } else if (path === 'iterations') {
      sumIterations(cursor, numbers);
    } else if (onTier !== undefined && path === 'service_tier') {
      if (cursor.string()) {
        onTier(cursor.decoded());
      }
    } else {
      const value = toldTokens(cursor.number());
      if (value !== undefined && numbers.size < MAX_NUMBERS) {
        numbers.set(path, value);
      }
    }
  }
  return true;
}

function sumIterations(cursor: JsonCursor, numbers: Map<string, number>): void {
  const sums = new IterationSums();
  if (!cursor.enterArray()) {
    return;
  }
  while (cursor.nextElement()) {
    if (!cursor.enterObject()) {
      continue;
    }
    const iteration = new Map<string, number>();
    let type = '';
    while (cursor.nextMember()) {
      const { key } = cursor;
      if (key === 'type') {
        type = cursor.string() ? cursor.decoded() : '';
      } else if (ITERATION_NUMBERS.includes(key)) {
        iteration.set(key, toldTokens(cursor.number()) ?? 0);
      } else {
        cursor.skip();
      }
    }
    for (const [name, value] of iteration) {
      sums.add(type, name, value);
    }
  }
  for (const [path, sum] of sums.sums) {
    numbers.set(path, sum);
  }
}

/** The kinds of entries in Anthropic's `usage.iterations`. */
export const ITERATION_NUMBERS: readonly string[] = [
  'input_tokens',
  'output_tokens',
  'cache_creation_input_tokens',
  'cache_read_input_tokens',
];

/**
 * Entries that are included in the numbers beside `iterations`; entries of all other types are
 * billed in addition.
 */
const INCLUDED_ITERATIONS: ReadonlySet<string> = new Set(['message', 'fallback_message']);

/**
 * Sums of Anthropic's `usage.iterations`, by path: `iterations.included.output_tokens`,
 * `iterations.added.output_tokens`.
 */
export class IterationSums implements UsageNumbers {
  readonly sums = new Map<string, number>();

  add(type: string, name: string, value: number): void {
    const path = `iterations.${INCLUDED_ITERATIONS.has(type) ? 'included' : 'added'}.${name}`;
    this.sums.set(path, Math.min((this.sums.get(path) ?? 0) + value, MAX_TOLD_TOKENS));
  }

  get(path: string): number | undefined {
    return this.sums.get(path);
  }
}

/** Returns the numbers that a scanner has found. */
export function numbersOf(found: MatchesByPath): UsageNumbers {
  return { get: (path) => toldTokens(found.one(path)?.value) };
}

const OPENAI_PATHS = [
  'prompt_tokens',
  'completion_tokens',
  'total_tokens',
  'prompt_tokens_details.cached_tokens',
  'prompt_tokens_details.audio_tokens',
  'prompt_tokens_details.image_tokens',
  'prompt_tokens_details.cache_write_tokens',
  'completion_tokens_details.reasoning_tokens',
  'completion_tokens_details.audio_tokens',
  'completion_tokens_details.image_tokens',
  'prompt_cache_hit_tokens',
  'input_tokens',
  'output_tokens',
  'input_tokens_details.cached_tokens',
  'input_tokens_details.cache_write_tokens',
  'input_tokens_details.image_tokens',
  'output_tokens_details.reasoning_tokens',
  'output_tokens_details.image_tokens',
] as const;

const ANTHROPIC_PATHS = [
  'input_tokens',
  'output_tokens',
  'cache_creation_input_tokens',
  'cache_read_input_tokens',
  'cache_creation.ephemeral_1h_input_tokens',
  'output_tokens_details.thinking_tokens',
] as const;

const ANTHROPIC_NUMBERS: readonly string[] = [
  ...ANTHROPIC_PATHS,
  ...ITERATION_NUMBERS.flatMap((name) => [`iterations.included.${name}`, `iterations.added.${name}`]),
];

/**
 * Chat completions, completions, embeddings (`prompt_tokens`) and responses (`input_tokens`). Where
 * the total exceeds prompt plus completion, the rest is output: xAI and Google bill reasoning but
 * do not count it as completion tokens. `output` without `reasoningOutput` then equals their
 * completion tokens.
 */
export function openAiUsage(numbers: UsageNumbers): Usage | undefined {
  const toldInput = numbers.get('prompt_tokens') ?? numbers.get('input_tokens');
  const told = numbers.get('completion_tokens') ?? numbers.get('output_tokens');
  if (toldInput === undefined && told === undefined) {
    return undefined;
  }
  const total = numbers.get('total_tokens') ?? 0;
  const input = toldInput ?? Math.max(0, total - (told ?? 0));
  const output = Math.max(told ?? 0, total - input);
  return {
    input,
    output,
    cachedInput:
      numbers.get('prompt_tokens_details.cached_tokens') ??
      numbers.get('input_tokens_details.cached_tokens') ??
      numbers.get('prompt_cache_hit_tokens') ??
      0,
    cacheWriteInput:
      numbers.get('prompt_tokens_details.cache_write_tokens') ??
      numbers.get('input_tokens_details.cache_write_tokens') ??
      0,
    cacheWrite1hInput: 0,
    reasoningOutput:
      numbers.get('completion_tokens_details.reasoning_tokens') ??
      numbers.get('output_tokens_details.reasoning_tokens') ??
      (told === undefined ? 0 : output - told),
    audioInput: numbers.get('prompt_tokens_details.audio_tokens') ?? 0,
    audioOutput: numbers.get('completion_tokens_details.audio_tokens') ?? 0,
    imageInput:
      numbers.get('prompt_tokens_details.image_tokens') ?? numbers.get('input_tokens_details.image_tokens') ?? 0,
    imageOutput:
      numbers.get('completion_tokens_details.image_tokens') ?? numbers.get('output_tokens_details.image_tokens') ?? 0,
  };
}

/**
 * Returns the larger of each number: a stream that reports its usage several times may not lower
 * it.
 */
export function largerUsage(one: Usage | undefined, other: Usage | undefined): Usage | undefined {
  if (one === undefined || other === undefined) {
    return one ?? other;
  }
  return {
    input: Math.max(one.input, other.input),
    output: Math.max(one.output, other.output),
    cachedInput: Math.max(one.cachedInput, other.cachedInput),
    cacheWriteInput: Math.max(one.cacheWriteInput, other.cacheWriteInput),
    cacheWrite1hInput: Math.max(one.cacheWrite1hInput, other.cacheWrite1hInput),
    reasoningOutput: Math.max(one.reasoningOutput, other.reasoningOutput),
    audioInput: Math.max(one.audioInput, other.audioInput),
    audioOutput: Math.max(one.audioOutput, other.audioOutput),
    imageInput: Math.max(one.imageInput, other.imageInput),
    imageOutput: Math.max(one.imageOutput, other.imageOutput),
  };
}

/**
 * Anthropic's usage. Cached and cache-write tokens are reported beside `input_tokens`. A stream
 * reports usage twice, and compatible servers may report less the second time, so the largest of
 * each number counts.
 */
export class AnthropicUsage {
  #told: Map<string, number> | undefined;

  add(numbers: UsageNumbers): void {
    if (numbers.get('input_tokens') === undefined && numbers.get('output_tokens') === undefined) {
      return;
    }
    this.#told ??= new Map();
    for (const path of ANTHROPIC_NUMBERS) {
      this.#told.set(path, Math.max(this.#told.get(path) ?? 0, numbers.get(path) ?? 0));
    }
  }

  get usage(): Usage | undefined {
    if (this.#told === undefined) {
      return undefined;
    }
    const cachedInput = this.#sum('cache_read_input_tokens');
    const cacheWriteInput = this.#sum('cache_creation_input_tokens');
    return {
      input: this.#sum('input_tokens') + cachedInput + cacheWriteInput,
      output: this.#sum('output_tokens'),
      cachedInput,
      cacheWriteInput,
      cacheWrite1hInput: Math.min(this.#number('cache_creation.ephemeral_1h_input_tokens'), cacheWriteInput),
      reasoningOutput: this.#number('output_tokens_details.thinking_tokens'),
      audioInput: 0,
      audioOutput: 0,
      imageInput: 0,
      imageOutput: 0,
    };
  }

  #sum(name: string): number {
    const own = Math.max(this.#number(name), this.#number(`iterations.included.${name}`));
    return own + this.#number(`iterations.added.${name}`);
  }

  #number(path: string): number {
    return this.#told?.get(path) ?? 0;
  }
}

export function anthropicUsage(numbers: UsageNumbers): Usage | undefined {
  const usage = new AnthropicUsage();
  usage.add(numbers);
  return usage.usage;
}

/** The part of a shape that reads the numbers of a `usage` object. */
export const OPENAI_USAGE_SHAPE = numbersShape(OPENAI_PATHS);
export const ANTHROPIC_USAGE_SHAPE: Shape = {
  object: {
    ...numbersShape(ANTHROPIC_PATHS).object,
    iterations: { items: numbersShape(['type', ...ITERATION_NUMBERS]) },
  },
};

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
      if (inner !== undefined && 'object' in inner) {
        inner.object[nested] = { value: true };
      } else {
        shape.object[name] = { object: { [nested]: { value: true } } };
      }
    }
  }
  return shape;
}
