/**
 * Error types of the client APIs, and the texts of Envoy's local replies. A client cannot tell
 * whether extproc or Envoy wrote an error.
 */

/** The kinds of failure that every client API can express. */
export type FailureKind =
  | 'invalid_request'
  | 'authentication'
  | 'permission'
  | 'not_found'
  | 'too_large'
  | 'rate_limit'
  | 'quota'
  | 'unavailable'
  | 'timeout'
  | 'internal';

/** OpenAI's and Anthropic's `error.type`, TGI's `error_type`, Google's `error.status`. */
export const errorTypes = {
  openai: {
    invalid_request: 'invalid_request_error',
    authentication: 'authentication_error',
    permission: 'permission_error',
    not_found: 'invalid_request_error',
    too_large: 'invalid_request_error',
    rate_limit: 'rate_limit_error',
    quota: 'insufficient_quota',
    unavailable: 'server_error',
    timeout: 'server_error',
    internal: 'server_error',
  },
  anthropic: {
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
  },
  tgi: {
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
  },
  google: {
    invalid_request: 'INVALID_ARGUMENT',
    authentication: 'UNAUTHENTICATED',
    permission: 'PERMISSION_DENIED',
    not_found: 'NOT_FOUND',
    too_large: 'INVALID_ARGUMENT',
    rate_limit: 'RESOURCE_EXHAUSTED',
    quota: 'RESOURCE_EXHAUSTED',
    unavailable: 'UNAVAILABLE',
    timeout: 'DEADLINE_EXCEEDED',
    internal: 'INTERNAL',
  },
} as const satisfies Record<string, Record<FailureKind, string>>;

/** The error for a range of statuses of Envoy's local replies. */
export interface LocalReply {
  /** Statuses, both ends included. */
  readonly from: number;
  readonly to: number;
  readonly kind: FailureKind;
  readonly code: string;
  readonly message: string;
}

const timeout = {
  kind: 'timeout',
  code: 'timeout',
  message: 'The request took longer than the gateway allows.',
} as const;

/** The first entry with a matching status range applies. */
export const localReplies: readonly LocalReply[] = [
  {
    from: 401,
    to: 401,
    kind: 'authentication',
    code: 'unauthenticated',
    message: 'The gateway does not know the caller: the credential is missing or not valid.',
  },
  {
    from: 403,
    to: 403,
    kind: 'permission',
    code: 'forbidden',
    message: 'The gateway does not allow this request (connection upgrades are not served).',
  },
  {
    from: 404,
    to: 404,
    kind: 'not_found',
    code: 'unknown_endpoint',
    message: 'The gateway does not serve this path.',
  },
  { from: 408, to: 408, ...timeout },
  {
    from: 413,
    to: 413,
    kind: 'too_large',
    code: 'request_too_large',
    message: 'The request is larger than the gateway takes.',
  },
  {
    from: 429,
    to: 429,
    kind: 'rate_limit',
    code: 'request_rate_exceeded',
    message: 'Too many requests at the moment.',
  },
  {
    from: 400,
    to: 499,
    kind: 'invalid_request',
    code: 'invalid_request',
    message: 'The gateway cannot read this request.',
  },
  {
    from: 502,
    to: 503,
    kind: 'unavailable',
    code: 'backend_unavailable',
    message: 'The gateway or the model provider cannot be reached at the moment; try again.',
  },
  { from: 504, to: 504, ...timeout },
  {
    from: 500,
    to: 599,
    kind: 'internal',
    code: 'internal_error',
    message: 'The gateway failed to serve this request; try again.',
  },
];
