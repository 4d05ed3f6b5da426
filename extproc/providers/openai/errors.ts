/**
 * OpenAI's errors and rate limit headers: https://platform.openai.com/docs/guides/error-codes and
 * …/rate-limits.
 */
import { errorTypes } from '../../../contract/refusals.ts';
import { jsonText } from '../../../runtime/json-text.ts';
import type { Failure } from '../../errors.ts';
import type { Dialect, LimitHeaders } from '../adapter.ts';

export function openAiError(failure: Failure): { readonly error: object } {
  return {
    error: {
      message: failure.message,
      type: errorTypes.openai[failure.kind],
      param: failure.param ?? null,
      code: failure.code,
    },
  };
}

export const openAiLimitHeaders: LimitHeaders = {
  name: (what, of) => `x-ratelimit-${what}-${of}`,
  reset: (atMs, nowMs) => duration(Math.max(0, atMs - nowMs)),
};

export const openAiDialect: Dialect = {
  name: 'openai',
  errorBody: (failure) => Buffer.from(jsonText(openAiError(failure))),
  limitHeaders: openAiLimitHeaders,
};

/** Formats a duration like OpenAI: `20ms`, `8.64s`, `6m0s`, `26h3m0s`. */
function duration(ms: number): string {
  const whole = Math.ceil(ms);
  if (whole < 1000) {
    return `${whole}ms`;
  }
  if (whole < 60_000) {
    return `${whole / 1000}s`;
  }
  const seconds = Math.ceil(whole / 1000);
  const minutes = Math.floor(seconds / 60);
  const rest = `${minutes % 60}m${seconds % 60}s`;
  return minutes < 60 ? rest : `${Math.floor(minutes / 60)}h${rest}`;
}
