/** What is wrong with a provider's response, and how providers' errors reach clients. */
import { failure } from '../errors.ts';
import type { ProviderError } from './conversion.ts';
import { listOf, recordOf, stringOf } from './json-values.ts';

export const unreadableAnswer = failure(
  'unreadable_answer',
  'The response of the provider cannot be converted: it does not follow its API. Check the schema of the AIBackend.',
);

export const incompleteAnswer = failure(
  'unreadable_answer',
  'The provider ended its stream before the response was complete. Try again.',
);

/** Messages of providers quote parts of requests. */
const MAX_MESSAGE_CHARACTERS = 4_096;

const kinds: ReadonlyMap<number, ProviderError['kind']> = new Map([
  [401, 'authentication'],
  [402, 'quota'],
  [403, 'permission'],
  [404, 'not_found'],
  [408, 'timeout'],
  [413, 'too_large'],
  [429, 'rate_limit'],
  [503, 'unavailable'],
  [504, 'timeout'],
  [529, 'unavailable'],
]);

/** Returns an error of a provider; `code` and `message` as far as its body has them. */
export function providerError(status: number, code: unknown, message: unknown): ProviderError {
  const text = stringOf(message);
  const kind = kinds.get(status) ?? (status >= 500 ? 'internal' : 'invalid_request');
  return {
    status,
    kind,
    code: stringOf(code)?.slice(0, 128) || `provider_${status}`,
    message: text?.slice(0, MAX_MESSAGE_CHARACTERS) || `The provider answered with status ${status}.`,
  };
}

/** Reads the common form of errors: `{"error": {"type", "code", "message"}}`, or a bare text. */
export function readErrorObject(status: number, document: unknown): ProviderError {
  const whole = recordOf(document);
  const error = whole?.['error'] ?? document;
  const members = recordOf(error);
  const code = members?.['code'] ?? members?.['type'] ?? whole?.['code'];
  return providerError(status, code, messageOf(members?.['message'] ?? members?.['detail'] ?? error));
}

/** Mistral, vLLM and others list what is wrong: `{"detail": [{"loc": [], "msg": ""}]}`. */
function messageOf(value: unknown): unknown {
  const list = listOf(recordOf(value)?.['detail'] ?? value);
  const messages = list?.map((each) => {
    const { loc, msg } = recordOf(each) ?? {};
    return [listOf(loc)?.join('.'), stringOf(msg)].filter((part) => part !== undefined).join(': ');
  });
  return messages?.join('; ') ?? value;
}
