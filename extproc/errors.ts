/**
 * All failures that a client can receive: code → HTTP status and kind. A client API renders them
 * (`Dialect.errorBody`). Messages name the object, the problem and the fix, and never quote a
 * prompt.
 */
import { type FailureKind, localReplies } from '../contract/refusals.ts';

export interface Failure {
  readonly failure: true;
  readonly status: number;
  readonly kind: FailureKind;
  /** Stable, snake_case; listed in docs/reference/errors.md. */
  readonly code: string;
  readonly message: string;
  /** The field of the request that is wrong. */
  readonly param?: string;
  /** Sent as `retry-after`, rounded up to whole seconds. */
  readonly retryAfterMs?: number;
  /** False: waiting is pointless (`x-should-retry: false`). */
  readonly shouldRetry?: boolean;
}

const known = {
  invalid_body: [400, 'invalid_request'],
  duplicate_key: [400, 'invalid_request'],
  missing_model: [400, 'invalid_request'],
  invalid_value: [400, 'invalid_request'],
  unsupported_field: [400, 'invalid_request'],
  content_blocked: [400, 'invalid_request'],
  unbounded_cost: [400, 'invalid_request'],
  missing_quota_key: [400, 'invalid_request'],
  unsupported_encoding: [415, 'invalid_request'],
  request_too_large: [413, 'too_large'],
  input_tokens_exceeded: [413, 'too_large'],
  output_tokens_exceeded: [400, 'invalid_request'],
  upload_too_slow: [408, 'timeout'],
  model_not_found: [404, 'not_found'],
  unknown_endpoint: [404, 'not_found'],
  unauthenticated: [401, 'authentication'],
  forbidden: [403, 'permission'],
  model_not_allowed: [403, 'permission'],
  unmetered_endpoint: [403, 'permission'],
  model_unpriced: [403, 'permission'],
  quota_exceeded: [429, 'quota'],
  request_rate_exceeded: [429, 'rate_limit'],
  budget_held: [429, 'rate_limit'],
  concurrency_exceeded: [429, 'rate_limit'],
  overloaded: [503, 'unavailable'],
  journal_unavailable: [503, 'unavailable'],
  quota_store_unavailable: [503, 'unavailable'],
  unreadable_answer: [502, 'internal'],
  backend_unavailable: [503, 'unavailable'],
  guardrail_unavailable: [503, 'unavailable'],
  first_token_timeout: [504, 'timeout'],
  stopped_by_operator: [403, 'permission'],
  internal_error: [500, 'internal'],
} as const satisfies Record<string, readonly [number, FailureKind]>;

export type FailureCode = keyof typeof known;

export const failureCodes = Object.keys(known) as readonly FailureCode[];

/**
 * Messages that say nothing of what the operator has configured (`TALLYGATE_ERROR_DETAIL=plain`).
 */
const plainMessages: Readonly<Record<FailureCode, string>> = {
  invalid_body: 'The request body is not valid for this endpoint.',
  duplicate_key: 'The request body has the same key twice. Send it once.',
  missing_model: 'The request has no model. Set the field model.',
  invalid_value: 'A field of the request has an invalid value.',
  unsupported_field: 'The model that serves this request does not support one of its fields.',
  content_blocked: 'The content of the request is not allowed here.',
  unbounded_cost: 'The cost of this request cannot be bounded in advance.',
  missing_quota_key: 'A required request header is missing, empty or repeated.',
  unsupported_encoding: 'The request body has an encoding that is not supported.',
  request_too_large: 'The request body is too large.',
  input_tokens_exceeded: 'The prompt has too many tokens.',
  output_tokens_exceeded: 'The request asks for too many output tokens.',
  upload_too_slow: 'The request body arrived too slowly. Send it again without a pause.',
  model_not_found: 'The model is not available here.',
  unknown_endpoint: 'The gateway does not serve this endpoint.',
  unauthenticated: 'The request has no valid credential.',
  forbidden: 'The caller is not allowed to send this request.',
  model_not_allowed: 'The caller is not allowed to use this model.',
  model_unpriced: 'The model is not available here.',
  unmetered_endpoint: 'This endpoint is not allowed here.',
  quota_exceeded: 'The quota has too little left for this request.',
  request_rate_exceeded: 'Too many requests.',
  budget_held: 'Requests in flight hold the rest of the quota. Try again shortly.',
  concurrency_exceeded: 'Too many requests run at once. Try again shortly.',
  overloaded: 'The gateway is overloaded. Try again shortly.',
  journal_unavailable: 'The gateway cannot record the usage of this request. Try again shortly.',
  quota_store_unavailable: 'The gateway cannot count this request. Try again shortly.',
  unreadable_answer: 'The gateway cannot read the response of the provider.',
  backend_unavailable: 'No backend is available for this request.',
  guardrail_unavailable: 'The gateway cannot examine this request. Try again shortly.',
  first_token_timeout: 'The provider took too long to answer.',
  stopped_by_operator: 'The request was stopped.',
  internal_error: 'The gateway failed with an internal error. Try again.',
};

/** Creates a failure of the list with the message for this case. */
export function failure(
  code: FailureCode,
  message: string,
  more: Pick<Failure, 'param' | 'retryAfterMs' | 'shouldRetry'> = {},
): Failure {
  const [status, kind] = known[code];
  return { failure: true, status, kind, code, message, ...more };
}

/** Returns the failure with the fixed message of its code; Envoy's own messages stay. */
export function withPlainMessage(problem: Failure): Failure {
  return { ...problem, message: plainMessages[problem.code as FailureCode] ?? problem.message };
}

/** Returns the failure for a local reply of Envoy, by its status. */
export function envoyFailure(status: number): Failure {
  const reply = localReplies.find(({ from, to }) => status >= from && status <= to) ?? localReplies.at(-1)!;
  const { kind, code, message } = reply;
  return { failure: true, status, kind, code, message };
}

export function isFailure(value: object): value is Failure {
  return 'failure' in value;
}
