/**
 * Route configurations: a virtual host for each entry. A request matches the entry route first (extproc needs some route to run on); extproc sets one header
 * and has the route chosen again, and that header leads to exactly one backend.
 */
import { CLIENT_HEADERS, PROVIDER_HEADERS, ROUTE_HEADER } from '../../contract/headers.ts';
import { durationMs } from '../../crds/schema.ts';
import type { PathRewrite } from '../backends.ts';
import type { Door } from '../doors.ts';
import { hostHeader } from '../endpoints.ts';
import type { LinkedEntry } from '../entries.ts';
import {
  clusterName,
  entryRoute,
  extprocFilter,
  lastRoute,
  routeConfigurationName,
  strayRoute,
  targetRoute,
} from '../names.ts';
import type { JsonObject, NamedResource } from '../plan.ts';
import { compare } from '../report.ts';
import type { LinkedTarget } from '../routes.ts';
import { seconds, typed } from './resource.ts';

/** Request bytes that Envoy keeps for another try. */
const retryBufferBytes = 1024 * 1024;

/** The listener has the filter turned off; see there. */
const extprocOn = typed('envoy.config.route.v3.FilterConfig', {
  config: typed('envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute', { overrides: {} }),
});

const anyPath = { prefix: '/' };
const notFound = { status: 404 };

export function routeConfigurations(doors: readonly Door[], entries: readonly LinkedEntry[]): readonly NamedResource[] {
  return [...Map.groupBy(doors, routeConfigurationName)]
    .toSorted(([left], [right]) => compare(left, right))
    .map(([name, own]) => {
      const here = entries.filter(({ door }) => own.includes(door));
      const served = new Set(here.map(({ hostname }) => hostname));
      return {
        name,
        // A route may name a cluster that is still on its way.
        validate_clusters: false,
        typed_per_filter_config: { [extprocFilter]: extprocOn },
        virtual_hosts: [
          ...here.map(virtualHost),
          ...(served.has('*') ? [] : [{ name: strayRoute(name), domains: ['*'], routes: [deadEnd(strayRoute(name))] }]),
        ],
      };
    });
}

function virtualHost(entry: LinkedEntry): JsonObject {
  return {
    name: entry.key,
    domains: [entry.hostname],
    routes: [
      {
        name: entryRoute(entry),
        // First, so that a fresh request is not compared with every target.
        match: { ...anyPath, headers: [{ name: ROUTE_HEADER, present_match: true, invert_match: true }] },
        direct_response: notFound,
      },
      ...entry.targets.map((target) => targetRouteOf(entry, target)),
      deadEnd(lastRoute(entry)),
    ],
  };
}

function deadEnd(name: string): JsonObject {
  return { name, match: anyPath, direct_response: notFound };
}

function targetRouteOf(entry: LinkedEntry, { target, backend, timeouts, retries }: LinkedTarget): JsonObject {
  const attempts = retries?.attempts ?? 1;
  return {
    name: targetRoute(entry, target.id),
    match: { ...anyPath, headers: [{ name: ROUTE_HEADER, string_match: { exact: target.id } }] },
    request_headers_to_remove: CLIENT_HEADERS,
    response_headers_to_remove: PROVIDER_HEADERS,
    ...(attempts > 0 && { request_body_buffer_limit: retryBufferBytes }),
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

/** Only what comes before the provider has begun, unless the user lists statuses: nobody pays twice. */
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
