/**
 * Runs Envoy without Tallygate: the same listener, connection manager, route, retries, limits and
 * cluster as `tallygate run` writes, without the ext_proc filter. Written by hand, so that a change
 * in Tallygate's output cannot silently change the baseline.
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { answers, type Running, start, until } from './processes.ts';

export const TYPES = 'type.googleapis.com/envoy.extensions';

export interface EnvoyPorts {
  readonly listen: number;
  readonly admin: number;
  readonly provider: number;
}

/** What Envoy does besides proxying. */
export interface EnvoyAdditions {
  readonly httpFilters: readonly object[];
  /** Configuration of filters for the route, by filter name. */
  readonly perRoute: Readonly<Record<string, object>>;
  readonly clusters: readonly object[];
}

const nothing: EnvoyAdditions = { httpFilters: [], perRoute: {}, clusters: [] };

export async function startEnvoyAlone(
  envoy: string,
  folder: string,
  ports: EnvoyPorts,
  workers: number,
  additions: EnvoyAdditions = nothing,
): Promise<Running> {
  const file = path.join(folder, `envoy-${ports.listen}.json`);
  writeFileSync(file, JSON.stringify(configuration(ports, additions)));
  const args = ['-c', file, '--concurrency', String(workers), '--use-dynamic-base-id', '--log-level', 'error'];
  const running = start(envoy, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  await until('start of Envoy alone', 20_000, () => answers(`http://127.0.0.1:${ports.admin}/ready`));
  return running;
}

function configuration(ports: EnvoyPorts, { httpFilters, perRoute, clusters }: EnvoyAdditions): object {
  const manager = connectionManager(httpFilters, perRoute);
  return {
    admin: { address: address(ports.admin) },
    static_resources: {
      listeners: [
        {
          name: 'load',
          address: address(ports.listen),
          per_connection_buffer_limit_bytes: 65_536,
          filter_chains: [
            { filters: [{ name: 'envoy.filters.network.http_connection_manager', typed_config: manager }] },
          ],
        },
      ],
      clusters: [cluster(ports.provider), ...clusters],
    },
  };
}

export function address(port: number): object {
  return { socket_address: { address: '127.0.0.1', port_value: port } };
}

const connectionManager = (httpFilters: readonly object[], perRoute: object) => ({
  '@type': `${TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
  stat_prefix: 'alone',
  codec_type: 'AUTO',
  route_config: {
    name: 'load',
    virtual_hosts: [
      {
        name: 'load',
        domains: ['*'],
        routes: [
          {
            match: { prefix: '/' },
            request_headers_to_remove: ['authorization', 'cookie', 'x-api-key', 'api-key', 'x-forwarded-for'],
            typed_per_filter_config: perRoute,
            request_body_buffer_limit: 1_048_576,
            route: {
              cluster: 'provider',
              timeout: '0s',
              retry_policy: { retry_on: 'connect-failure,refused-stream', num_retries: 1 },
            },
          },
        ],
      },
    ],
  },
  http_filters: [
    ...httpFilters,
    {
      name: 'envoy.filters.http.router',
      typed_config: { '@type': `${TYPES}.filters.http.router.v3.Router`, suppress_envoy_headers: true },
    },
  ],
  use_remote_address: true,
  skip_xff_append: true,
  normalize_path: true,
  merge_slashes: true,
  path_with_escaped_slashes_action: 'KEEP_UNCHANGED',
  strip_any_host_port: true,
  server_header_transformation: 'PASS_THROUGH',
  scheme_header_transformation: { match_upstream: true },
  stream_idle_timeout: '900s',
  request_headers_timeout: '30s',
  request_timeout: '600s',
  common_http_protocol_options: { idle_timeout: '3600s' },
});

function cluster(providerPort: number): object {
  return {
    name: 'provider',
    type: 'STATIC',
    connect_timeout: '5s',
    per_connection_buffer_limit_bytes: 65_536,
    circuit_breakers: {
      thresholds: [
        {
          max_connections: 1_000_000,
          max_pending_requests: 1_000_000,
          max_requests: 1_000_000,
          max_retries: 1_000_000,
        },
      ],
    },
    upstream_connection_options: { tcp_keepalive: { keepalive_time: 60, keepalive_interval: 15, keepalive_probes: 4 } },
    load_assignment: {
      cluster_name: 'provider',
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(providerPort) } }] }],
    },
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': `${TYPES}.upstreams.http.v3.HttpProtocolOptions`,
        common_http_protocol_options: { idle_timeout: '30s' },
        explicit_http_config: { http_protocol_options: {} },
      },
    },
  };
}
