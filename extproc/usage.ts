/**
 * Tokens as a provider's `usage` reports them: non-negative safe integers. The names follow the
 * OpenTelemetry GenAI conventions; `input` includes cached and cache-write tokens. A part that was
 * not reported is 0 and must be estimated.
 */
export interface Usage {
  readonly input: number;
  readonly output: number;
  readonly cachedInput: number;
  readonly cacheWriteInput: number;
  /** The part of `cacheWriteInput` that is kept for an hour. */
  readonly cacheWrite1hInput: number;
  readonly reasoningOutput: number;
  readonly audioInput: number;
  readonly audioOutput: number;
  readonly imageInput: number;
  readonly imageOutput: number;
}

/** Returns the usage of text alone. */
export function textUsage(input: number, output: number): Usage {
  return {
    input,
    output,
    cachedInput: 0,
    cacheWriteInput: 0,
    cacheWrite1hInput: 0,
    reasoningOutput: 0,
    audioInput: 0,
    audioOutput: 0,
    imageInput: 0,
    imageOutput: 0,
  };
}
