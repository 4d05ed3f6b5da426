/**
 * The HTTP filters of every listener, in order, before the router. Listeners refer to them by name
 * (ECDS), so that a changed filter, such as a new header in a policy, does not replace a listener
 * and its streams.
 */

import type { Authenticator } from '../../contract/access-policy.ts';
import {
  AGENT_ID_HEADERS,
  ATTEMPTS_METADATA,
  AWS_ERROR_TYPE_HEADER,
  CERTIFICATE_ATTRIBUTES,
  CLIENT_HEADER_PREFIXES,
  CREDENTIAL_HEADERS,
  FAILOVER_HEADERS,
  LIMIT_HEADER_PREFIXES,
  OWN_HEADER_PREFIX,
  PROVIDER_REQUEST_ID_HEADERS,
  REQUEST_METADATA,
  ROUTE_NAME_ATTRIBUTE,
  TRACE_PARENT_HEADER,
  TRACE_STATE_HEADER,
} from '../../contract/headers.ts';
import { type AttachedPolicy, policiesOf } from '../attachment/policy-kind.ts';
import { accessOf, policiesInUse } from '../link/access-in-use.ts';
import { attemptRoutesOf } from '../link/attempt-routes.ts';
import { quotaPolicyKind } from '../link/quotas.ts';
import type { LinkedVirtualHost } from '../link/virtual-hosts.ts';
import { EXTPROC_CLUSTER, EXTPROC_FILTER } from '../names.ts';
import { compare } from '../object-names.ts';
import { oauth2Filter } from './browser-login.ts';
import { corsFilter } from './cors.ts';
import { type HttpFilterResource, typed } from './resource.ts';

export function httpFilters(
  virtualHosts: readonly LinkedVirtualHost[],
  policies: readonly AttachedPolicy[],
): readonly HttpFilterResource[] {
  const authenticators = authenticatorsInUse(virtualHosts, policies);
  const headers = forwardedHeaders(virtualHosts, policies, authenticators);
  const attributes = authenticators.some(({ type }) => type === 'ClientCertificate')
    ? Object.values(CERTIFICATE_ATTRIBUTES)
    : [];
  const attempts = virtualHosts.some((virtualHost) => attemptRoutesOf(virtualHost).length > 0);
  const processor = externalProcessor(headers, attributes, attempts ? [ATTEMPTS_METADATA, REQUEST_METADATA] : []);
  return [corsFilter, oauth2Filter, { name: EXTPROC_FILTER, typed_config: processor }];
}

/** Headers that extproc always reads. Others are not forwarded, because each costs time. */
const alwaysForwarded = [
  ':method',
  ':path',
  ':status',
  'accept-encoding',
  'anthropic-version',
  'content-encoding',
  'content-length',
  'content-type',
  'x-goog-api-client',
  AWS_ERROR_TYPE_HEADER,
  ...PROVIDER_REQUEST_ID_HEADERS,
  ...AGENT_ID_HEADERS,
  TRACE_PARENT_HEADER,
  TRACE_STATE_HEADER,
];

/** Headers that extproc removes by prefix. */
const forwardedPrefixes = [OWN_HEADER_PREFIX, ...CLIENT_HEADER_PREFIXES, ...LIMIT_HEADER_PREFIXES];

function forwardedHeaders(
  virtualHosts: readonly LinkedVirtualHost[],
  policies: readonly AttachedPolicy[],
  authenticators: readonly Authenticator[],
): readonly string[] {
  const keys = policiesOf(quotaPolicyKind, policies).flatMap(({ compiled }) =>
    compiled.quotas.flatMap(({ key }) => key),
  );
  const rules = virtualHosts.flatMap((virtualHost) => virtualHost.rules);
  const names = [
    ...rules.flatMap(({ rule }) => rule.headers.map(({ name }) => name)),
    ...(rules.some(({ rule: { rule } }) => rule.failover !== undefined) ? FAILOVER_HEADERS : []),
    ...keys.flatMap((part) => ('name' in part ? [part.name] : [])),
    ...(authenticators.length > 0 ? CREDENTIAL_HEADERS : []),
    ...(authenticators.some((each) => each.type === 'JWT' && each.cookie !== undefined) ? ['cookie'] : []),
  ];
  return [...new Set([...alwaysForwarded, ...names])].toSorted(compare);
}

function authenticatorsInUse(
  virtualHosts: readonly LinkedVirtualHost[],
  policies: readonly AttachedPolicy[],
): readonly Authenticator[] {
  return accessOf(policiesInUse(virtualHosts, policies)).flatMap(({ policy }) => policy.authenticators);
}

function externalProcessor(
  headers: readonly string[],
  attributes: readonly string[],
  writtenMetadata: readonly string[],
): HttpFilterResource['typed_config'] {
  return typed('envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor', {
    stat_prefix: 'tallygate',
    grpc_service: { envoy_grpc: { cluster_name: EXTPROC_CLUSTER } },
    failure_mode_allow: false,
    // Otherwise both sides get chunked bodies, which some providers refuse and which cost each side
    // more. extproc keeps the length correct.
    allow_content_length_header: true,
    status_on_error: { code: 503 },
    processing_mode: {
      request_header_mode: 'SEND',
      response_header_mode: 'SEND',
      request_body_mode: 'FULL_DUPLEX_STREAMED',
      response_body_mode: 'FULL_DUPLEX_STREAMED',
      request_trailer_mode: 'SEND',
      response_trailer_mode: 'SEND',
    },
    // Applies to messages without a body. Longer than the maximum queue timeout (60 s).
    message_timeout: '120s',
    request_attributes: [ROUTE_NAME_ATTRIBUTE, ...attributes],
    ...(writtenMetadata.length > 0 && { metadata_options: { receiving_namespaces: { untyped: writtenMetadata } } }),
    forward_rules: {
      allowed_headers: {
        patterns: [
          ...headers.map((exact) => ({ exact, ignore_case: true })),
          ...forwardedPrefixes.map((prefix) => ({ prefix, ignore_case: true })),
        ],
      },
    },
  });
}
