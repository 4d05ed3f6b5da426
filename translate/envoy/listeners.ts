/** One listener for each port. Nothing here depends on routes, backends or policies: Envoy would replace the listener and drain every open stream. */
import { OWN_HEADER_PREFIX } from '../../contract/headers.ts';
import type { Door } from '../doors.ts';
import { certificateName, extprocCluster, extprocFilter, listenerName, routeConfigurationName } from '../names.ts';
import type { EnvoyOptions, JsonObject, NamedResource } from '../plan.ts';
import { fullName } from '../report.ts';
import { localReplyConfig } from './local-replies.ts';
import { fileOf, fileSource, typed } from './resource.ts';

export function listeners(doors: readonly Door[], options: EnvoyOptions): readonly NamedResource[] {
  return [...Map.groupBy(doors, (door) => door.listener.port)]
    .toSorted(([left], [right]) => left - right)
    .map(([port, own]) => listener(port, own, options));
}

function listener(port: number, doors: readonly Door[], options: EnvoyOptions): NamedResource {
  const secure = doors.some((door) => door.listener.protocol === 'HTTPS');
  return {
    name: listenerName(port),
    address: { socket_address: { address: options.listenAddress, port_value: port } },
    per_connection_buffer_limit_bytes: 65_536,
    ...(secure && {
      listener_filters: [
        {
          name: 'envoy.filters.listener.tls_inspector',
          typed_config: typed('envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector', {}),
        },
      ],
    }),
    // Plain doors share one chain: their host names are told apart by the route configuration.
    filter_chains: secure
      ? doors.map((door) => secureChain(door, options))
      : doors.slice(0, 1).map((door) => chain(door, options)),
  };
}

function chain(door: Door, options: EnvoyOptions): JsonObject {
  const name = routeConfigurationName(door);
  return {
    name,
    filters: [
      {
        name: 'envoy.filters.network.http_connection_manager',
        typed_config: typed(
          'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
          connectionManager(name, options),
        ),
      },
    ],
  };
}

function secureChain(door: Door, options: EnvoyOptions): JsonObject {
  return {
    ...chain(door, options),
    ...(door.hostname !== '*' && { filter_chain_match: { server_names: [door.hostname] } }),
    transport_socket: {
      name: 'envoy.transport_sockets.tls',
      typed_config: typed('envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext', {
        common_tls_context: {
          alpn_protocols: ['h2', 'http/1.1'],
          tls_params: { tls_minimum_protocol_version: 'TLSv1_2' },
          tls_certificate_sds_secret_configs: door.certificates.map((secret) => {
            const certificate = certificateName(fullName(secret));
            return { name: certificate, sds_config: fileSource(options.directory, fileOf('secret', certificate)) };
          }),
        },
      }),
    },
  };
}

/** ext_proc only ends when an exchange is broken off; the access log says who broke it. Nothing is logged of the others, or where the client left. */
const brokenExchanges: JsonObject = {
  name: 'envoy.access_loggers.http_grpc',
  filter: { response_flag_filter: { flags: ['UC', 'UR', 'LR', 'UPE', 'UT', 'SI', 'DT', 'UMSDR', 'OM'] } },
  typed_config: typed('envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig', {
    common_config: {
      log_name: 'tallygate',
      transport_api_version: 'V3',
      grpc_service: { envoy_grpc: { cluster_name: extprocCluster } },
      // At once: extproc's stream of the exchange ends a moment later.
      buffer_size_bytes: 0,
    },
  }),
};

function connectionManager(routeConfiguration: string, options: EnvoyOptions): JsonObject {
  return {
    stat_prefix: 'tallygate',
    codec_type: 'AUTO',
    rds: {
      route_config_name: routeConfiguration,
      config_source: fileSource(options.directory, fileOf('route', routeConfiguration)),
    },
    http_filters: [
      {
        name: extprocFilter,
        // Routes turn it on. Where Envoy refuses what it cannot read (old HTTP, header blocks past a bound) it has no route yet and closes the connection
        // at once: an answer that waited for extproc would never leave.
        disabled: true,
        config_discovery: {
          config_source: fileSource(options.directory, fileOf('extension', extprocFilter)),
          type_urls: ['type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor'],
        },
      },
      {
        name: 'envoy.filters.http.router',
        typed_config: typed('envoy.extensions.filters.http.router.v3.Router', { suppress_envoy_headers: true }),
      },
    ],
    // Before the first route is chosen: what a client says in our headers is never believed.
    early_header_mutation_extensions: [
      {
        name: 'envoy.http.early_header_mutation.header_mutation',
        typed_config: typed('envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation', {
          mutations: [{ remove_on_match: { key_matcher: { prefix: OWN_HEADER_PREFIX, ignore_case: true } } }],
        }),
      },
    ],
    local_reply_config: localReplyConfig(),
    access_log: [brokenExchanges],
    use_remote_address: true,
    // A client's own request id joins its log with ours; extproc replaces one that is no id. Nothing of it may be changed for tracing.
    preserve_external_request_id: true,
    request_id_extension: {
      typed_config: typed('envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig', { pack_trace_reason: false }),
    },
    // Providers need not know who the clients are.
    skip_xff_append: true,
    normalize_path: true,
    merge_slashes: true,
    // Model names with a slash stand in paths as %2F.
    path_with_escaped_slashes_action: 'KEEP_UNCHANGED',
    strip_any_host_port: true,
    server_header_transformation: 'PASS_THROUGH',
    scheme_header_transformation: { match_upstream: true },
    // A model may think for many minutes before its first byte; routes set their own by timeouts.idle.
    stream_idle_timeout: '900s',
    // A client that sends its headers or its body too slowly.
    request_headers_timeout: '30s',
    request_timeout: '600s',
    common_http_protocol_options: { idle_timeout: '3600s' },
    // Old load tests and health checks. Without a host, a route for all host names serves them.
    http_protocol_options: { accept_http_10: true, default_host_for_http_10: 'no-host.invalid' },
    http2_protocol_options: {
      max_concurrent_streams: 1000,
      initial_stream_window_size: 262_144,
      // What one client may leave in Envoy unread: 16 uploads that stand still, before they hold up the others of the same connection.
      initial_connection_window_size: 4_194_304,
    },
  };
}
