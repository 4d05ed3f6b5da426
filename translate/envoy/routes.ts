/**
 * Route configurations: a virtual host per listener and host name. A request matches the entry
 * route first, because extproc needs a route to run on. extproc then sets one header and clears the
 * route cache, and that header selects the generated route with exactly one backend.
 */
import { PROVIDER_HEADERS, ROUTE_HEADER } from '../../contract/headers.ts';
import { durationMs } from '../../crds/schema.ts';
import { browserLoginOf } from '../link/access-in-use.ts';
import { type PathRewrite, removedHeaders } from '../link/backends.ts';
import { corsOf } from '../link/cors.ts';
import { hostHeader } from '../link/endpoints.ts';
import type { LinkedTarget } from '../link/linked-target.ts';
import type { GatewayListener } from '../link/listeners.ts';
import type { LinkedVirtualHost } from '../link/virtual-hosts.ts';
import {
  CORS_FILTER,
  clusterName,
  EXTPROC_FILTER,
  entryRoute,
  lastRoute,
  OAUTH2_FILTER,
  routeConfigurationName,
  targetRoute,
  unmatchedRoute,
} from '../names.ts';
import { compare } from '../object-names.ts';
import type { EnvoyOptions, JsonObject, NamedResource } from '../plan.ts';
import { attemptRoutes } from './attempts.ts';
import { loginConfig } from './browser-login.ts';
import { corsConfig } from './cors.ts';
import { seconds, typed } from './resource.ts';

/** Request bytes that Envoy buffers for a retry. */
const RETRY_BUFFER_BYTES = 1024 * 1024;

/** Enables the filter, which listeners have disabled. */
const extprocOn = typed('envoy.config.route.v3.FilterConfig', {
  config: typed('envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute', { overrides: {} }),
});

const anyPath = { prefix: '/' };
const notFound = { status: 404 };
/** A cluster that does not exist: Envoy 1.40 ignores CORS on a route with a direct response. */
const nowhere = { cluster: 'nowhere', cluster_not_found_response_code: 'NOT_FOUND' };

export function routeConfigurations(
  listeners: readonly GatewayListener[],
  virtualHosts: readonly LinkedVirtualHost[],
  options: EnvoyOptions,
): readonly NamedResource[] {
  return [...Map.groupBy(listeners, routeConfigurationName)]
    .toSorted(([left], [right]) => compare(left, right))
    .map(([name, sharing]) => {
      const here = virtualHosts.filter(({ listener }) => sharing.includes(listener));
      const served = new Set(here.map(({ hostname }) => hostname));
      return {
        name,
        // A route may refer to a cluster that Envoy does not have yet.
        validate_clusters: false,
        // A redirect after login needs the port.
        ignore_port_in_host_matching: true,
        typed_per_filter_config: { [EXTPROC_FILTER]: extprocOn },
        virtual_hosts: [
          ...here.map((each) => virtualHostResource(each, options)),
          ...(served.has('*')
            ? []
            : [{ name: unmatchedRoute(name), domains: ['*'], routes: [deadEnd(unmatchedRoute(name))] }]),
        ],
      };
    });
}

function virtualHostResource(virtualHost: LinkedVirtualHost, options: EnvoyOptions): JsonObject {
  const cors = corsOf(virtualHost);
  const login = browserLoginOf(virtualHost);
  return {
    name: virtualHost.key,
    domains: [virtualHost.hostname],
    ...((cors || login) && {
      typed_per_filter_config: {
        ...(cors && { [CORS_FILTER]: corsConfig(cors) }),
        ...(login && { [OAUTH2_FILTER]: loginConfig(login, options) }),
      },
    }),
    routes: [
      {
        name: entryRoute(virtualHost),
        // First, so that a new request is not compared with every target.
        match: { ...anyPath, headers: [{ name: ROUTE_HEADER, present_match: true, invert_match: true }] },
        ...(cors ? { route: nowhere } : { direct_response: notFound }),
      },
      ...virtualHost.targets.map((target) => targetRouteOf(virtualHost, target)),
      ...attemptRoutes(virtualHost),
      deadEnd(lastRoute(virtualHost)),
    ],
  };
}

function deadEnd(name: string): JsonObject {
  return { name, match: anyPath, direct_response: notFound };
}

function targetRouteOf(
  virtualHost: LinkedVirtualHost,
  { target, backend, timeouts, retries }: LinkedTarget,
): JsonObject {
  const attempts = retries?.attempts ?? 1;
  return {
    name: targetRoute(virtualHost, target.id),
    match: { ...anyPath, headers: [{ name: ROUTE_HEADER, string_match: { exact: target.id } }] },
    request_headers_to_remove: removedHeaders(backend),
    response_headers_to_remove: PROVIDER_HEADERS,
    ...(attempts > 0 && { request_body_buffer_limit: RETRY_BUFFER_BYTES }),
    route: {
      cluster: clusterName(target.backend),
      cluster_not_found_response_code: 'SERVICE_UNAVAILABLE',
      host_rewrite_literal: hostHeader(backend.endpoint),
      ...(backend.rewrite && { regex_rewrite: rewrite(backend.rewrite) }),
      timeout: seconds(durationMs(timeouts?.request ?? '0s')),
      ...(timeouts?.idle !== undefined && { idle_timeout: seconds(durationMs(timeouts.idle)) }),
      ...(attempts > 0 && { retry_policy: retryPolicy(attempts, retries?.codes ?? []) }),
    },
  };
}

/**
 * Retries only before the provider has started, unless the user lists status codes: no request is
 * billed twice.
 */
function retryPolicy(attempts: number, codes: readonly number[]): JsonObject {
  return {
    retry_on: ['connect-failure', 'refused-stream', ...(codes.length === 0 ? [] : ['retriable-status-codes'])].join(
      ',',
    ),
    num_retries: attempts,
    ...(codes.length > 0 && { retriable_status_codes: codes }),
    retry_back_off: { base_interval: '0.025s', max_interval: '1s' },
  };
}

function rewrite({ from, to }: PathRewrite): JsonObject {
  return { pattern: { regex: `^${from}` }, substitution: to };
}
