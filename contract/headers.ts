/**
 * Names on the wire between Envoy and extproc. All `x-tallygate-*` headers that a client sends are
 * removed; none of them is trusted.
 */
import type { CertificateSource } from './access-policy.ts';

/**
 * Set by extproc and matched by every generated Envoy route; identifies rule and backend
 * (`Target.id`).
 */
export const ROUTE_HEADER = 'x-tallygate-route';

/**
 * On Envoy's local replies: response flags, code details and the transport failure, for extproc,
 * which removes it.
 */
export const REPLY_HEADER = 'x-tallygate-reply';

/** Correlates client, gateway and provider. Envoy generates one if the client sends none. */
export const REQUEST_ID_HEADER = 'x-request-id';

/** The W3C trace context, of clients and towards backends. */
export const TRACE_PARENT_HEADER = 'traceparent';
export const TRACE_STATE_HEADER = 'tracestate';

/** Response headers in which providers return their own request id. */
export const PROVIDER_REQUEST_ID_HEADERS: readonly string[] = [
  REQUEST_ID_HEADER,
  'request-id',
  'apim-request-id',
  'x-amzn-requestid',
];

/** Where AWS names the type of an error. */
export const AWS_ERROR_TYPE_HEADER = 'x-amzn-errortype';

/**
 * Headers in which coding agents name their session and themselves: Claude Code
 * (https://code.claude.com/docs/en/llm-gateway-protocol) and Codex (`session_id`, in later versions
 * `session-id`). They go on to the provider.
 */
export const AGENT_ID_HEADERS: readonly string[] = [
  'x-claude-code-session-id',
  'x-claude-code-agent-id',
  'x-claude-code-parent-agent-id',
  'session-id',
  'session_id',
];

/** Headers with this prefix are reserved for Tallygate. */
export const OWN_HEADER_PREFIX = 'x-tallygate-';

/**
 * On requests of a guardrail's judge to the gateway: proves that these are such requests, which are
 * not judged again. Without the reserved prefix, whose headers Envoy removes before extproc.
 */
export const JUDGE_HEADER = 'tallygate-judge';

/** On a response of which a content policy keeps the text, or that of its request. */
export const CONTENT_HEADER = 'x-tallygate-content';

/** On a converted response: the fields of the request that the provider did not get. */
export const DROPPED_HEADER = 'x-tallygate-dropped';

/** On a number of tokens that the gateway has counted, in place of a provider. */
export const ESTIMATE_HEADER = 'x-tallygate-estimate';

/**
 * On an attempt at a backend: the length of its body. Envoy makes it the content length, and sends
 * neither this header nor the one after it.
 */
export const ATTEMPT_LENGTH_HEADER = 'x-tallygate-length';

/** On the response to an attempt: asks Envoy for the next attempt. */
export const ATTEMPT_RETRY_HEADER = 'x-tallygate-retry';

/** The namespace of dynamic metadata in which Envoy reads the order of the attempts. */
export const ATTEMPTS_METADATA = 'tallygate.attempts';

/** The namespace of dynamic metadata whose `id` tells an attempt to which request it belongs. */
export const REQUEST_METADATA = 'tallygate.request';

/** The attribute of an attempt with the `id` in `REQUEST_METADATA`, a CEL expression. */
export const ATTEMPT_ID_ATTRIBUTE: string = `metadata.filter_metadata['${REQUEST_METADATA}']['id']`;

/** The attribute of an attempt with the name of its cluster: the prefix and the backend. */
export const CLUSTER_ATTRIBUTE = 'xds.cluster_name';
export const ATTEMPT_CLUSTER_PREFIX = 'attempt/';

/** The ext_proc attribute with the name of the Envoy route that the request matched first. */
export const ROUTE_NAME_ATTRIBUTE = 'xds.route_name';

/** Request attributes of a client certificate that Envoy has verified; absent without one. */
export const CERTIFICATE_ATTRIBUTES: Readonly<Record<CertificateSource['from'], string>> = {
  URISAN: 'connection.uri_san_peer_certificate',
  DNSSAN: 'connection.dns_san_peer_certificate',
  Subject: 'connection.subject_peer_certificate',
};

/** Headers in which clients send an API key or a token, as one credential. */
export const CREDENTIAL_HEADERS: readonly string[] = ['authorization', 'x-api-key', 'api-key', 'x-goog-api-key'];

/**
 * Response attributes, in a cluster only: the origin of the response, and the request path in case
 * Envoy replied before extproc saw the request.
 */
export const CODE_DETAILS_ATTRIBUTE = 'response.code_details';
export const PATH_ATTRIBUTE = 'request.path';

/** The value of `response.code_details` for a response from the provider. */
export const VIA_UPSTREAM = 'via_upstream';

/**
 * Client headers that no provider receives: credentials, billing accounts, the client's location.
 * Envoy removes them from the request to a backend, then adds the backend's own credential. This
 * list and the lists below keep the headers that the providers' clients need (versions, betas,
 * request ids, `retry-after`).
 */
export const CLIENT_HEADERS: readonly string[] = [
  ROUTE_HEADER,
  'authorization',
  'proxy-authorization',
  'x-api-key',
  'api-key',
  'x-goog-api-key',
  'ocp-apim-subscription-key',
  'cookie',
  'openai-organization',
  'openai-project',
  'x-goog-user-project',
  'forwarded',
  'via',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-server',
  'x-forwarded-client-cert',
  'x-original-forwarded-for',
  'x-real-ip',
  'x-client-ip',
  'x-cluster-client-ip',
  'true-client-ip',
  'cf-connecting-ip',
  'fastly-client-ip',
  'x-envoy-external-address',
];

/**
 * Prefixes of further such headers (AWS signatures, tokens and guardrails; proofs of judges). Envoy
 * routes cannot remove by prefix, so extproc does.
 */
export const CLIENT_HEADER_PREFIXES: readonly string[] = ['x-amz-', 'x-amzn-', JUDGE_HEADER];

/**
 * Provider headers that no client receives, removed by Envoy: account data, cookies, and headers
 * that a browser would apply to the gateway's own origin.
 */
export const PROVIDER_HEADERS: readonly string[] = [
  'openai-organization',
  'openai-project',
  'anthropic-organization-id',
  'set-cookie',
  'server',
  'alt-svc',
  'strict-transport-security',
  'nel',
  'report-to',
  'access-control-allow-origin',
  'access-control-allow-credentials',
  'access-control-expose-headers',
];

/** The official clients count their retries of one request here. */
export const RETRY_COUNT_HEADER = 'x-stainless-retry-count';

/** Headers that failover reads, of requests and responses. */
export const FAILOVER_HEADERS: readonly string[] = [RETRY_COUNT_HEADER, 'retry-after', 'retry-after-ms'];

/**
 * Prefixes of a provider's rate-limit headers, which describe the account that all clients share.
 * extproc removes them when it sets its own.
 */
export const LIMIT_HEADER_PREFIXES: readonly string[] = ['x-ratelimit-', 'anthropic-ratelimit-'];

/** Prefixes of headers that belong to a provider's own API, on requests and responses. */
export const CONVERTED_HEADER_PREFIXES: readonly string[] = [
  ...LIMIT_HEADER_PREFIXES,
  'anthropic-',
  'openai-',
  'x-goog-',
  'x-gemini-',
  AWS_ERROR_TYPE_HEADER,
];
