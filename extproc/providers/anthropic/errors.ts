/**
 * Anthropic's errors and rate limit headers: https://platform.claude.com/docs/en/api/errors and
 * …/rate-limits.
 */
import { errorTypes } from '../../../contract/refusals.ts';
import { jsonText } from '../../../runtime/json-text.ts';
import type { Failure } from '../../errors.ts';
import type { Dialect, LimitHeaders } from '../adapter.ts';

/** The API has no member for a code, so ours is beside the type, where its clients ignore it. */
export function anthropicError(failure: Failure): { readonly type: 'error'; readonly error: object } {
  return {
    type: 'error',
    error: { type: errorTypes.anthropic[failure.kind], message: failure.message, code: failure.code },
  };
}

const limitHeaders: LimitHeaders = {
  name: (what, of) => `anthropic-ratelimit-${of}-${what}`,
  reset: (atMs) => new Date(Math.ceil(atMs / 1000) * 1000).toISOString().replace('.000Z', 'Z'),
};

export const anthropicDialect: Dialect = {
  name: 'anthropic',
  errorBody: (failure) => Buffer.from(jsonText(anthropicError(failure))),
  limitHeaders,
};
