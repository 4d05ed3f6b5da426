/** Errors of Cohere: https://docs.cohere.com/reference/errors */
import type { ProviderError } from '../conversion.ts';
import { providerError } from '../failures.ts';
import { recordOf } from '../json-values.ts';

/** The request or the response has a blocked token; no client API knows the status. */
const BLOCKED_TOKEN = 498;

export function readCohereError(status: number, document: unknown): ProviderError {
  const message = recordOf(document)?.['message'] ?? document;
  return status === BLOCKED_TOKEN
    ? providerError(400, 'blocked_token', message)
    : providerError(status, undefined, message);
}
