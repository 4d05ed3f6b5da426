/**
 * A real Envoy in front of a server, with two listeners to the same upstream: one through ext_proc
 * and one without it.
 */

import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export const ENVOY: string = new URL('../../../.tools/bin/envoy', import.meta.url).pathname;

export interface Envoy {
  readonly throughPort: number;
  readonly directPort: number;
  readonly adminPort: number;
  readonly pid: number;
  stop(): Promise<void>;
}

function cluster(name: string, address: object, options: object): object {
  return {
    name,
    connect_timeout: '1s',
    type: 'STATIC',
    circuit_breakers: {
      thresholds: [{ max_connections: 100_000, max_pending_requests: 100_000, max_requests: 100_000 }],
    },
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }],
    },
    ...options,
  };
}

/**
 * Envoy buffers this much for an unanswered stream. All streams share the connection, which must
 * never block them.
 */
const WINDOWS = { initial_stream_window_size: 65_536, initial_connection_window_size: 2_147_483_647 };

const http2 = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicit_http_config: { http2_protocol_options: WINDOWS },
    },
  },
};

const extProc = {
  name: 'envoy.filters.http.ext_proc',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor',
    grpc_service: { envoy_grpc: { cluster_name: 'processor' }, timeout: '3600s' },
    processing_mode: {
      request_header_mode: 'SEND',
      response_header_mode: 'SEND',
      request_body_mode: 'FULL_DUPLEX_STREAMED',
      response_body_mode: 'FULL_DUPLEX_STREAMED',
      request_trailer_mode: 'SEND',
      response_trailer_mode: 'SEND',
    },
    request_attributes: ['xds.route_name'],
    response_attributes: ['response.code_details', 'request.path'],
  },
};

function listener(name: string, filters: readonly object[]): object {
  return {
    name,
    address: { socket_address: { address: '127.0.0.1', port_value: 0 } },
    filter_chains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: {
              '@type':
                'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
              stat_prefix: name,
              codec_type: 'AUTO',
              route_config: {
                virtual_hosts: [
                  {
                    name: 'all',
                    domains: ['*'],
                    routes: [
                      {
                        match: { path: '/slow' },
                        route: { cluster: 'upstream', timeout: '0.2s' },
                      },
                      { match: { path: '/bare' }, direct_response: { status: 429 } },
                      { name: 'everything', match: { prefix: '/' }, route: { cluster: 'upstream', timeout: '0s' } },
                    ],
                  },
                ],
              },
              http_filters: [
                ...filters,
                {
                  name: 'envoy.filters.http.router',
                  typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
                },
              ],
            },
          },
        ],
      },
    ],
  };
}

/** `processor`: the server's address, a path or `host:port`. */
export async function startEnvoy(processor: string, upstreamPort: number, workers: number): Promise<Envoy> {
  const folder = await mkdtemp(join(tmpdir(), 'envoy-'));
  const configPath = join(folder, 'envoy.json');
  const adminPath = join(folder, 'admin');
  const [host, port] = processor.split(':');
  const address = processor.startsWith('/')
    ? { pipe: { path: processor } }
    : { socket_address: { address: host, port_value: Number(port) } };
  const config = {
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: 0 } } },
    layered_runtime: {
      layers: [{ name: 'static', static_layer: { 'envoy.reloadable_features.ext_proc_graceful_grpc_close': true } }],
    },
    static_resources: {
      listeners: [listener('through', [extProc]), listener('direct', [])],
      clusters: [
        cluster('processor', address, http2),
        cluster('upstream', { socket_address: { address: '127.0.0.1', port_value: upstreamPort } }, {}),
      ],
    },
  };
  await writeFile(configPath, JSON.stringify(config));
  const child = spawn(
    ENVOY,
    [
      '-c',
      configPath,
      '--concurrency',
      String(workers),
      '--admin-address-path',
      adminPath,
      '--use-dynamic-base-id',
      '-l',
      'error',
    ],
    { stdio: 'inherit' },
  );
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const [adminPort, ports] = await untilListening(adminPath);
    return { throughPort: ports['through']!, directPort: ports['direct']!, adminPort, pid: child.pid!, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function untilListening(
  adminPath: string,
): Promise<[adminPort: number, ports: Readonly<Record<string, number>>]> {
  for (let attempt = 0; attempt < 200; attempt++) {
    await sleep(50);
    try {
      const admin = await readFile(adminPath, 'utf8');
      const answer = await fetch(`http://${admin}/listeners?format=json`);
      const { listener_statuses: listeners } = (await answer.json()) as {
        listener_statuses?: readonly { name: string; local_address: { socket_address: { port_value: number } } }[];
      };
      if (listeners?.length !== 2) {
        continue;
      }
      const ports = listeners.map((each) => [each.name, each.local_address.socket_address.port_value] as const);
      return [Number(admin.split(':').at(-1)), Object.fromEntries(ports)];
    } catch {
      // Not listening yet.
    }
  }
  throw new Error('Envoy did not start');
}
