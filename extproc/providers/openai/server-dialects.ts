/**
 * What servers of OpenAI's chat completions take, where they differ in what bounds or counts a
 * response.
 */
import type { BackendPolicy, OpenAiDialect } from '../../../contract/policy.ts';

/** What a backend's API is. */
export type BackendApi = Pick<BackendPolicy, 'schema' | 'dialect'>;

export interface ServerDialect {
  /** The member that bounds the output. A server refuses the other one, or ignores it. */
  readonly boundName: 'max_completion_tokens' | 'max_tokens';
  /** The server reports the usage of streams unasked, and refuses `include_usage`. */
  readonly refusesIncludeUsage: boolean;
  /** The server has no `/v1/responses`. */
  readonly lacksResponses?: true;
}

const newer: ServerDialect = { boundName: 'max_completion_tokens', refusesIncludeUsage: false };
const older: ServerDialect = { boundName: 'max_tokens', refusesIncludeUsage: false };

const dialects: Readonly<Record<OpenAiDialect, ServerDialect>> = {
  OpenAI: newer,
  DeepSeek: { ...older, lacksResponses: true }, // Ignores max_completion_tokens.
  Fireworks: newer,
  Groq: newer,
  // Refuses unknown members with 422.
  Mistral: { boundName: 'max_tokens', refusesIncludeUsage: true, lacksResponses: true },
  Ollama: older, // Ignores max_completion_tokens.
  OpenRouter: newer,
  SGLang: newer,
  Together: older,
  VLLM: newer,
  XAI: newer,
};

export function serverDialect({ schema, dialect }: BackendApi): ServerDialect {
  // TGI's OpenAI API knows only the older name; OpenAI's reasoning models refuse it.
  return schema === 'HuggingFaceTGI' ? older : dialects[dialect ?? 'OpenAI'];
}
