/**
 * Failover within a request. A route with several clusters, one for each backend of a rule: extproc
 * names their order in dynamic metadata, and Envoy retries in the next one (priority_group cluster
 * specifier). In each cluster a second ext_proc filter asks extproc for body, path and headers of
 * this attempt. So a request can be converted for each backend, and the body that passes the
 * listener is a placeholder, which no retry buffer limits.
 */
import {
  ATTEMPT_ID_ATTRIBUTE,
  ATTEMPT_LENGTH_HEADER,
  ATTEMPT_RETRY_HEADER,
  ATTEMPTS_METADATA,
  CLIENT_HEADERS,
  CLUSTER_ATTRIBUTE,
  CREDENTIAL_HEADERS,
  LIMIT_HEADER_PREFIXES,
  PROVIDER_HEADERS,
  ROUTE_HEADER,
} from '../../contract/headers.ts';
import type { RouteRule } from '../../crds/route.ts';
import { durationMs } from '../../crds/schema.ts';
import { type AttemptRoute, attemptRoutesOf } from '../link/attempt-routes.ts';
import type { UsableBackend } from '../link/backends.ts';
import { hostHeader } from '../link/endpoints.ts';
import type { LinkedVirtualHost } from '../link/virtual-hosts.ts';
import { ATTEMPT_FILTER, attemptClusterName, EXTPROC_CLUSTER, targetRoute } from '../names.ts';
import { compare } from '../object-names.ts';
import type { EnvoyOptions, JsonObject, NamedResource } from '../plan.ts';
import { credentialFilter, fileSources, providerCluster, type SecretSources, upstreamCodec } from './clusters.ts';
import { type opaque, seconds, typed } from './resource.ts';

/**
 * Envoy 1.40 crashes where an ext_proc filter among upstream filters meets a smaller buffer (32 KiB
 * and bodies of 300 KB).
 */
const ATTEMPT_BUFFER_BYTES = 1024 * 1024;

/** Headers of responses that extproc reads to decide about the next attempt. */
const forwardedHeaders = [':status', 'retry-after', 'retry-after-ms'];

export function attemptClusters(
  virtualHosts: readonly LinkedVirtualHost[],
  options: EnvoyOptions,
): readonly NamedResource[] {
  const backends = new Map(
    virtualHosts
      .flatMap(attemptRoutesOf)
      .flatMap(({ targets }) => targets.map(({ target, backend }) => [target.backend, backend] as const)),
  );
  const context = {
    sources: fileSources(options),
    processor: { cluster_name: EXTPROC_CLUSTER },
    removedHeaders: CREDENTIAL_HEADERS,
  };
  return [...backends]
    .toSorted(([left], [right]) => compare(left, right))
    .map(([name, backend]) => attemptCluster(name, backend, context));
}

export interface AttemptClusterContext {
  readonly sources: SecretSources;
  /** An `EnvoyGrpc` of extproc. */
  readonly processor: JsonObject;
  /** Of what the client and the attempt before sent. */
  readonly removedHeaders: readonly string[];
}

export function attemptCluster(
  name: string,
  { endpoint, credential }: UsableBackend,
  { sources, processor, removedHeaders }: AttemptClusterContext,
): NamedResource {
  const filters = [
    { name: ATTEMPT_FILTER, typed_config: attemptProcessor(processor) },
    { name: 'envoy.filters.http.header_mutation', typed_config: attemptHeaders(removedHeaders) },
    ...(credential === undefined ? [] : [credentialFilter(name, credential, sources)]),
    upstreamCodec,
  ];
  const parts = {
    backend: name,
    filters: { http_filters: filters },
    bufferBytes: ATTEMPT_BUFFER_BYTES,
    hostname: hostHeader(endpoint),
  };
  return providerCluster(attemptClusterName(name), endpoint, parts, sources);
}

function attemptProcessor(processor: JsonObject): JsonObject {
  return typed('envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor', {
    stat_prefix: 'tallygate_attempt',
    grpc_service: { envoy_grpc: processor },
    failure_mode_allow: false,
    status_on_error: { code: 503 },
    // Bodies pass unseen: FULL_DUPLEX_STREAMED among upstream filters crashes Envoy 1.40.
    processing_mode: {
      request_header_mode: 'SEND',
      response_header_mode: 'SEND',
      request_body_mode: 'NONE',
      response_body_mode: 'NONE',
      request_trailer_mode: 'SKIP',
      response_trailer_mode: 'SKIP',
    },
    message_timeout: '120s',
    mutation_rules: { allow_all_routing: true },
    request_attributes: [ATTEMPT_ID_ATTRIBUTE, CLUSTER_ATTRIBUTE],
    // No request header: those of a retry have the credential of the attempt before.
    forward_rules: {
      allowed_headers: {
        patterns: [
          ...forwardedHeaders.map((exact) => ({ exact, ignore_case: true })),
          ...LIMIT_HEADER_PREFIXES.map((prefix) => ({ prefix, ignore_case: true })),
        ],
      },
    },
  });
}

/** A retry begins with the headers of the attempt before, and with its credential. */
function attemptHeaders(removed: readonly string[]): JsonObject {
  return typed('envoy.extensions.filters.http.header_mutation.v3.HeaderMutation', {
    mutations: {
      request_mutations: [
        ...removed.map((name) => ({ remove: name })),
        {
          append: {
            header: { key: 'content-length', value: `%REQ(${ATTEMPT_LENGTH_HEADER})%` },
            append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
          },
        },
        { remove: ATTEMPT_LENGTH_HEADER },
      ],
    },
  });
}

export function attemptRoutes(virtualHost: LinkedVirtualHost): readonly JsonObject[] {
  return attemptRoutesOf(virtualHost).map((route) => attemptRoute(virtualHost, route));
}

function attemptRoute(virtualHost: LinkedVirtualHost, route: AttemptRoute): JsonObject {
  const { request, idle } = route.rule.timeouts ?? {};
  return {
    name: targetRoute(virtualHost, route.id),
    match: { prefix: '/', headers: [{ name: ROUTE_HEADER, string_match: { exact: route.id } }] },
    request_headers_to_remove: CLIENT_HEADERS,
    response_headers_to_remove: PROVIDER_HEADERS,
    route: attemptAction(route, { request: request ?? '0s', idle }),
  };
}

/** Durations of the whole request and of silence. */
export interface AttemptTimeouts {
  readonly request: string;
  readonly idle: string | undefined;
}

/**
 * Returns the `RouteAction` that tries the targets of a rule one after the other. `pack` puts the
 * cluster specifier into an `Any`.
 */
export function attemptAction(
  { rule, targets, timeoutMs }: AttemptRoute,
  timeouts: AttemptTimeouts,
  pack: typeof typed | typeof opaque = typed,
): JsonObject {
  return {
    inline_cluster_specifier_plugin: {
      extension: {
        name: 'envoy.router.cluster_specifier_plugin.priority_group',
        typed_config: pack(
          'envoy.extensions.router.cluster_specifiers.priority_group.v3.PriorityGroupClusterSpecifier',
          {
            priority_groups: targets.map(({ target }) => ({
              name: target.id,
              clusters: [{ cluster_name: attemptClusterName(target.backend), weight: 1 }],
            })),
            override_metadata_namespace: ATTEMPTS_METADATA,
          },
        ),
      },
    },
    cluster_not_found_response_code: 'SERVICE_UNAVAILABLE',
    auto_host_rewrite: true,
    timeout: seconds(durationMs(timeouts.request)),
    ...(timeouts.idle !== undefined && { idle_timeout: seconds(durationMs(timeouts.idle)) }),
    retry_policy: {
      retry_on: retryConditions(rule, timeoutMs !== undefined).join(','),
      num_retries: rule.failover!.attempts - 1,
      retriable_headers: [{ name: ATTEMPT_RETRY_HEADER, present_match: true }],
      refresh_cluster_on_retry: true,
      ...(timeoutMs !== undefined && { per_try_timeout: seconds(timeoutMs) }),
      // Another backend has no reason to wait.
      retry_back_off: { base_interval: '0.001s', max_interval: '0.001s' },
    },
  };
}

/**
 * Where there is a response, extproc decides about it. Envoy knows a reset and the end of the time
 * for an attempt by the same condition, and extproc refuses the next attempt where the rule does
 * not ask for it.
 */
function retryConditions({ failover }: RouteRule, isTimed: boolean): readonly string[] {
  const { on } = failover!;
  return [
    'retriable-headers',
    ...(on.includes('ConnectFailure') ? ['connect-failure', 'refused-stream'] : []),
    ...(on.includes('5xx') || isTimed ? ['reset'] : []),
  ];
}
