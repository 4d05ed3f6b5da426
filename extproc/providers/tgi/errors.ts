/**
 * Text Generation Inference's errors: https://huggingface.co/docs/text-generation-inference. The
 * API has no rate limit headers.
 */
import { errorTypes } from '../../../contract/refusals.ts';
import { jsonText } from '../../../runtime/json-text.ts';
import type { Failure } from '../../errors.ts';
import type { Dialect } from '../adapter.ts';
import { openAiLimitHeaders } from '../openai/errors.ts';

export function tgiError(failure: Failure): { readonly error: string; readonly error_type: string } {
  return { error: failure.message, error_type: errorTypes.tgi[failure.kind] };
}

export const tgiDialect: Dialect = {
  name: 'tgi',
  errorBody: (failure) => Buffer.from(jsonText({ ...tgiError(failure), code: failure.code })),
  limitHeaders: openAiLimitHeaders,
};
