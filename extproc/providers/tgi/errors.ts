/** Text Generation Inference's errors: https://huggingface.co/docs/text-generation-inference. It has no rate limit headers of its own. */
import type { Failure, FailureKind } from '../../errors.ts';
import type { Dialect } from '../adapter.ts';
import { openAiLimitHeaders } from '../openai/errors.ts';

const TYPES = {
  invalid_request: 'validation',
  authentication: 'authentication',
  permission: 'permission',
  not_found: 'not_found',
  too_large: 'validation',
  rate_limit: 'overloaded',
  quota: 'overloaded',
  unavailable: 'unhealthy',
  timeout: 'generation',
  internal: 'generation',
} as const satisfies Record<FailureKind, string>;

export function tgiError(failure: Failure): { readonly error: string; readonly error_type: string } {
  return { error: failure.message, error_type: TYPES[failure.kind] };
}

export const tgiDialect: Dialect = {
  name: 'tgi',
  errorBody: (failure) => Buffer.from(JSON.stringify({ ...tgiError(failure), code: failure.code })),
  limitHeaders: openAiLimitHeaders,
};
