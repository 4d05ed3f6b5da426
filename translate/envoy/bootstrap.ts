/** Envoy's start-up configuration: everything that no edit of a resource changes. All else comes by files that it watches. */
import { extprocCluster } from '../names.ts';
import type { EnvoyOptions, JsonObject } from '../plan.ts';
import { circuitBreakers, fileSource, socketAddress, typed } from './resource.ts';

/** Connections of clients at a time. Each costs Envoy about 74 KB while it streams, so this many fill 4 GB. */
const downstreamConnections = 50_000;

export const clustersFile = 'clusters.json';
export const listenersFile = 'listeners.json';

export function bootstrap(options: EnvoyOptions): JsonObject {
  return {
    node: { id: 'tallygate', cluster: 'tallygate' },
    admin: { address: socketAddress(options.admin) },
    dynamic_resources: {
      cds_config: fileSource(options.directory, clustersFile),
      lds_config: fileSource(options.directory, listenersFile),
    },
    static_resources: { clusters: [processorCluster(options)] },
    overload_manager: {
      resource_monitors: [
        {
          name: 'envoy.resource_monitors.global_downstream_max_connections',
          typed_config: typed(
            'envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig',
            { max_active_downstream_connections: downstreamConnections },
          ),
        },
      ],
    },
    layered_runtime: {
      layers: [
        {
          name: 'static',
          static_layer: {
            // Envoy would end each ext_proc stream by a reset; Node's HTTP/2 server takes many resets for an attack and answers with GOAWAY.
            'envoy.reloadable_features.ext_proc_graceful_grpc_close': true,
          },
        },
      ],
    },
  };
}

function processorCluster(options: EnvoyOptions): JsonObject {
  return {
    name: extprocCluster,
    type: 'STATIC',
    // A local socket answers at once or not at all.
    connect_timeout: '1s',
    circuit_breakers: circuitBreakers,
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed(
        'envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        {
          explicit_http_config: {
            http2_protocol_options: {
              initial_stream_window_size: 65_536,
              // All streams share the connection: streams whose clients do not read must never use up its window for the others.
              initial_connection_window_size: 2_147_483_647,
            },
          },
        },
      ),
    },
    load_assignment: {
      cluster_name: extprocCluster,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(options.extproc) } }] }],
    },
  };
}
