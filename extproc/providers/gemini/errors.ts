/**
 * Google's errors: https://google.aip.dev/193. The API has no rate limit headers, so ours have
 * OpenAI's names.
 */
import { errorTypes } from '../../../contract/refusals.ts';
import { jsonText } from '../../../runtime/json-text.ts';
import type { Failure } from '../../errors.ts';
import type { Dialect } from '../adapter.ts';
import { openAiLimitHeaders } from '../openai/errors.ts';

const TYPES = 'type.googleapis.com/google.rpc.';
const DOMAIN = 'tallygate.dev';

/** Google's clients read the code in `reason`, and the time to wait in `retryDelay`. */
export function googleError(failure: Failure): { readonly error: object } {
  const { code, kind, message, param, retryAfterMs, status } = failure;
  return {
    error: {
      code: status,
      message,
      status: errorTypes.google[kind],
      details: [
        { '@type': `${TYPES}ErrorInfo`, reason: code.toUpperCase(), domain: DOMAIN },
        ...(param === undefined
          ? []
          : [{ '@type': `${TYPES}BadRequest`, fieldViolations: [{ field: param, description: message }] }]),
        ...(retryAfterMs === undefined
          ? []
          : [{ '@type': `${TYPES}RetryInfo`, retryDelay: `${Math.ceil(retryAfterMs / 1000)}s` }]),
      ],
    },
  };
}

export const googleDialect: Dialect = {
  name: 'google',
  errorBody: (failure) => Buffer.from(jsonText(googleError(failure))),
  limitHeaders: openAiLimitHeaders,
};
