/** Envoy's start-up configuration: everything that no edit of a resource changes. All else comes by files that it watches. */
import { extprocCluster } from '../names.ts';
import type { EnvoyOptions, JsonObject } from '../plan.ts';
import { circuitBreakers, fileSource, socketAddress, typed } from './resource.ts';

/** Connections of clients at a time; where the heap is smaller, as many as fit. */
const maxDownstreamConnections = 50_000;
/** What one costs Envoy while it streams (measured). */
const connectionBytes = 74 * 1024;

/** Envoy's heap where the machine is not known. */
const defaultHeapBytes = 2 * 1024 ** 3;

/** Shares of the heap from which on Envoy helps itself: idle memory goes back first, then connections end with their answer, requests get 503, and nobody is let in. */
const overloadActions: readonly (readonly [action: string, heapShare: number])[] = [
  ['shrink_heap', 0.85],
  ['disable_http_keepalive', 0.9],
  ['stop_accepting_requests', 0.95],
  ['stop_accepting_connections', 0.98],
];

const heapMonitor = 'envoy.resource_monitors.fixed_heap';

export const clustersFile = 'clusters.json';
export const listenersFile = 'listeners.json';

export function bootstrap(options: EnvoyOptions): JsonObject {
  const heapBytes = options.heapBytes ?? defaultHeapBytes;
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
            {
              max_active_downstream_connections: Math.max(
                1,
                Math.min(maxDownstreamConnections, Math.floor(heapBytes / connectionBytes)),
              ),
            },
          ),
        },
        {
          name: heapMonitor,
          typed_config: typed('envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig', {
            max_heap_size_bytes: heapBytes,
          }),
        },
      ],
      refresh_interval: '0.25s',
      actions: overloadActions.map(([action, value]) => ({
        name: `envoy.overload_actions.${action}`,
        triggers: [{ name: heapMonitor, threshold: { value } }],
      })),
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
