/** Errors of Bedrock: https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html */
import type { ProviderError } from '../conversion.ts';
import { providerError } from '../failures.ts';
import { recordOf, stringOf } from '../json-values.ts';

/** Statuses of exceptions inside of a stream, whose own status is 200. */
const statuses: ReadonlyMap<string, number> = new Map([
  ['accessdeniedexception', 403],
  ['modelnotreadyexception', 429],
  ['modelerrorexception', 500],
  ['modelstreamerrorexception', 500],
  ['modeltimeoutexception', 504],
  ['resourcenotfoundexception', 404],
  ['servicequotaexceededexception', 429],
  ['serviceunavailableexception', 503],
  ['throttlingexception', 429],
  ['validationexception', 400],
]);

/** Failed Dependency: the model failed, which the client APIs know as an internal error. */
const FAILED_MODEL = 424;

/** Reads the body of an error response; its type may be in a header only. */
export function readConverseError(status: number, document: unknown, type?: string): ProviderError {
  const body = recordOf(document);
  const name = (type ?? stringOf(body?.['__type']))?.replace(/^.*#|:.*$/g, '') || undefined;
  const known = status === FAILED_MODEL ? 500 : status;
  return providerError(known, name, body?.['message'] ?? body?.['Message'] ?? document);
}

/** Reads an exception of a stream by its type. */
export function converseException(type: string, document: unknown): ProviderError {
  return readConverseError(statuses.get(type.toLowerCase()) ?? 500, document, type);
}
