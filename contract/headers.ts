/** Names on the wire between Envoy and extproc. All `x-tallygate-*` headers of a client are removed: none of them is ever believed. */

/** Set by extproc, matched by every generated Envoy route: rule and backend (`Target.id`). */
export const ROUTE_HEADER = 'x-tallygate-route';

/** On answers that Envoy writes itself: its response flags, its code details and the transport failure, for extproc, which takes it off again. */
export const REPLY_HEADER = 'x-tallygate-reply';

/** Joins client, gateway and provider. Envoy makes one where the client has none. */
export const REQUEST_ID_HEADER = 'x-request-id';

/** By what providers call a request in their answers. */
export const PROVIDER_REQUEST_ID_HEADERS: readonly string[] = [
  REQUEST_ID_HEADER,
  'request-id',
  'apim-request-id',
  'x-amzn-requestid',
];

/** Every header that begins so is ours. */
export const OWN_HEADER_PREFIX = 'x-tallygate-';

/** The ext_proc attribute that names the Envoy route which the request matched first. */
export const ROUTE_NAME_ATTRIBUTE = 'xds.route_name';

/** Attributes of an answer, in a cluster: who wrote it, and the path that was asked for, where Envoy answered before extproc saw the request. */
export const CODE_DETAILS_ATTRIBUTE = 'response.code_details';
export const PATH_ATTRIBUTE = 'request.path';

/** `response.code_details` of an answer that is a provider's. */
export const VIA_UPSTREAM = 'via_upstream';

/**
 * What a client sends and no provider gets: credentials, whose account is billed, where the client is. Envoy removes them on the way to a backend, which adds its own
 * credential behind that. Here and below, headers that the providers' own clients need (versions, betas, request ids, `retry-after`) are left alone.
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

/** The same by how they begin, which Envoy's routes cannot say: extproc removes them. Signatures, tokens and guardrails of AWS. */
export const CLIENT_HEADER_PREFIXES: readonly string[] = ['x-amz-', 'x-amzn-'];

/** What a provider answers and no client gets: about the account, cookies, and what a browser would take for the gateway's own words. Envoy removes them. */
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
];

/** How a provider's rate limits begin: those of the account that all clients share. extproc removes them where its own stand. */
export const LIMIT_HEADER_PREFIXES: readonly string[] = ['x-ratelimit-', 'anthropic-ratelimit-'];
