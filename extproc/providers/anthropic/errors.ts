/** Anthropic's errors and rate limit headers: https://platform.claude.com/docs/en/api/errors and …/rate-limits. */
import type { Failure, FailureKind } from '../../errors.ts';
import type { Dialect, LimitHeaders } from '../adapter.ts';

const TYPES = {
  invalid_request: 'invalid_request_error',
  authentication: 'authentication_error',
  permission: 'permission_error',
  not_found: 'not_found_error',
  too_large: 'request_too_large',
  rate_limit: 'rate_limit_error',
  quota: 'rate_limit_error',
  unavailable: 'overloaded_error',
  timeout: 'timeout_error',
  internal: 'api_error',
} as const satisfies Record<FailureKind, string>;

/** The API has no member for a code, so ours stands beside the type, where its clients let it be. */
export function anthropicError(failure: Failure): { readonly type: 'error'; readonly error: object } {
  return {
    type: 'error',
    error: { type: TYPES[failure.kind], message: failure.message, code: failure.code },
  };
}

const limitHeaders: LimitHeaders = {
  name: (what, of) => `anthropic-ratelimit-${of}-${what}`,
  reset: (atMs) => new Date(Math.ceil(atMs / 1000) * 1000).toISOString().replace('.000Z', 'Z'),
};

export const anthropicDialect: Dialect = {
  name: 'anthropic',
  errorBody: (failure) => Buffer.from(JSON.stringify(anthropicError(failure))),
  limitHeaders,
};
