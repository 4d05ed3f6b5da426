/**
 * Envoy's static configuration. Everything that resources can change is in files that Envoy
 * watches.
 */
import { EXTPROC_CLUSTER, EXTPROC_STREAM_WINDOW_BYTES } from '../names.ts';
import type { EnvoyOptions, JsonObject } from '../plan.ts';
import { circuitBreakers, fileSource, socketAddress, typed } from './resource.ts';

/** Maximum client connections; fewer if the heap is too small. */
const MAX_DOWNSTREAM_CONNECTIONS = 50_000;
/** Memory of one streaming connection in Envoy (measured). */
const CONNECTION_BYTES = 74 * 1024;

/** Envoy's heap if the machine's memory is unknown. */
const DEFAULT_HEAP_BYTES = 2 * 1024 ** 3;

/**
 * Heap shares at which Envoy sheds load: it first returns idle memory, then closes connections
 * after their response, then answers 503, then accepts no connections.
 */
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
  const heapBytes = options.heapBytes ?? DEFAULT_HEAP_BYTES;
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
                Math.min(MAX_DOWNSTREAM_CONNECTIONS, Math.floor(heapBytes / CONNECTION_BYTES)),
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
            // Otherwise Envoy ends each ext_proc stream with a reset; Node's HTTP/2 server treats
            // many resets as an attack and answers with GOAWAY.
            'envoy.reloadable_features.ext_proc_graceful_grpc_close': true,
          },
        },
      ],
    },
  };
}

function processorCluster(options: EnvoyOptions): JsonObject {
  return {
    name: EXTPROC_CLUSTER,
    type: 'STATIC',
    // A local socket connects immediately or never.
    connect_timeout: '1s',
    circuit_breakers: circuitBreakers,
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed(
        'envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        {
          explicit_http_config: {
            http2_protocol_options: {
              initial_stream_window_size: EXTPROC_STREAM_WINDOW_BYTES,
              // All streams share the connection; stalled streams must not use up its window.
              initial_connection_window_size: 2_147_483_647,
            },
          },
        },
      ),
    },
    load_assignment: {
      cluster_name: EXTPROC_CLUSTER,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(options.extproc) } }] }],
    },
  };
}
