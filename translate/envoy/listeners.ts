/**
 * One Envoy listener per port. Does not depend on routes, backends or policies: a change would make
 * Envoy replace the listener and drain every open stream.
 */
import { OWN_HEADER_PREFIX } from '../../contract/headers.ts';
import type { GatewayListener } from '../link/listeners.ts';
import {
  certificateName,
  clientAuthorityName,
  EXTPROC_CLUSTER,
  listenerName,
  routeConfigurationName,
} from '../names.ts';
import { fullName } from '../object-names.ts';
import type { EnvoyOptions, JsonObject, NamedResource } from '../plan.ts';
import { localReplyConfig } from './local-replies.ts';
import { fileOf, fileSource, type HttpFilterResource, typed } from './resource.ts';

export function listenerResources(
  listeners: readonly GatewayListener[],
  filters: readonly HttpFilterResource[],
  options: EnvoyOptions,
): readonly NamedResource[] {
  const context = { filters: filters.map((filter) => filterReference(filter, options)), options };
  return [...Map.groupBy(listeners, ({ spec }) => spec.port)]
    .toSorted(([left], [right]) => left - right)
    .map(([port, ofPort]) => portListener(port, ofPort, context));
}

/** The common part of all listeners. */
interface ListenerContext {
  readonly filters: readonly JsonObject[];
  readonly options: EnvoyOptions;
}

function portListener(port: number, listeners: readonly GatewayListener[], context: ListenerContext): NamedResource {
  const secure = listeners.some(({ spec }) => spec.protocol === 'HTTPS');
  return {
    name: listenerName(port),
    address: { socket_address: { address: context.options.listenAddress, port_value: port } },
    per_connection_buffer_limit_bytes: 65_536,
    ...(secure && {
      listener_filters: [
        {
          name: 'envoy.filters.listener.tls_inspector',
          typed_config: typed('envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector', {}),
        },
      ],
    }),
    // HTTP listeners share one chain; the route configuration distinguishes their host names.
    filter_chains: secure
      ? listeners.map((each) => secureChain(each, context))
      : listeners.slice(0, 1).map((each) => chain(each, context)),
  };
}

function chain(listener: GatewayListener, context: ListenerContext): JsonObject {
  const name = routeConfigurationName(listener);
  return {
    name,
    filters: [
      {
        name: 'envoy.filters.network.http_connection_manager',
        typed_config: typed(
          'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
          connectionManager(name, context),
        ),
      },
    ],
  };
}

function secureChain(listener: GatewayListener, context: ListenerContext): JsonObject {
  return {
    ...chain(listener, context),
    ...(listener.hostname !== '*' && { filter_chain_match: { server_names: [listener.hostname] } }),
    transport_socket: {
      name: 'envoy.transport_sockets.tls',
      typed_config: typed('envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext', {
        common_tls_context: {
          alpn_protocols: ['h2', 'http/1.1'],
          tls_params: { tls_minimum_protocol_version: 'TLSv1_2' },
          tls_certificate_sds_secret_configs: listener.certificates.map((secret) => {
            const certificate = certificateName(fullName(secret));
            return {
              name: certificate,
              sds_config: fileSource(context.options.directory, fileOf('secret', certificate)),
            };
          }),
          ...clientValidation(listener, context),
        },
        ...(listener.clientCertificates && { require_client_certificate: listener.clientCertificates.required }),
      }),
    },
  };
}

/** A certificate that a client presents must be valid, even if none is required. */
function clientValidation(listener: GatewayListener, { options }: ListenerContext): JsonObject {
  if (listener.clientCertificates === undefined) {
    return {};
  }
  const authority = clientAuthorityName(listener);
  const sds = { name: authority, sds_config: fileSource(options.directory, fileOf('secret', authority)) };
  return { validation_context_sds_secret_config: sds };
}

/**
 * ext_proc only sees that a stream ends; the access log has the reason. Logs only streams that
 * failed, not those that the client left.
 */
const failedStreams: JsonObject = {
  name: 'envoy.access_loggers.http_grpc',
  filter: { response_flag_filter: { flags: ['UC', 'UR', 'LR', 'UPE', 'UT', 'SI', 'DT', 'UMSDR', 'OM'] } },
  typed_config: typed('envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig', {
    common_config: {
      log_name: 'tallygate',
      transport_api_version: 'V3',
      grpc_service: { envoy_grpc: { cluster_name: EXTPROC_CLUSTER } },
      // Immediately, because extproc's stream ends right after.
      buffer_size_bytes: 0,
    },
  }),
};

/** Refers to a filter by name. Its configuration is a separate resource. */
function filterReference({ name, typed_config: config }: HttpFilterResource, options: EnvoyOptions): JsonObject {
  return {
    name,
    // Routes enable the filters. When Envoy refuses a request that it cannot parse (old HTTP
    // versions, oversized headers), it has no route yet and closes the connection immediately: a
    // response that waited for extproc would never be sent.
    disabled: true,
    config_discovery: {
      config_source: fileSource(options.directory, fileOf('extension', name)),
      type_urls: [config['@type']],
    },
  };
}

function connectionManager(routeConfiguration: string, { filters, options }: ListenerContext): JsonObject {
  return {
    stat_prefix: 'tallygate',
    codec_type: 'AUTO',
    rds: {
      route_config_name: routeConfiguration,
      config_source: fileSource(options.directory, fileOf('route', routeConfiguration)),
    },
    http_filters: [
      ...filters,
      {
        name: 'envoy.filters.http.router',
        typed_config: typed('envoy.extensions.filters.http.router.v3.Router', { suppress_envoy_headers: true }),
      },
    ],
    // Before the first route match: reserved headers from clients are never trusted.
    early_header_mutation_extensions: [
      {
        name: 'envoy.http.early_header_mutation.header_mutation',
        typed_config: typed('envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation', {
          mutations: [{ remove_on_match: { key_matcher: { prefix: OWN_HEADER_PREFIX, ignore_case: true } } }],
        }),
      },
    ],
    local_reply_config: localReplyConfig(),
    access_log: [failedStreams],
    use_remote_address: true,
    // Keeps the client's request id for correlation; extproc replaces invalid ones. Tracing must
    // not change it.
    preserve_external_request_id: true,
    request_id_extension: {
      typed_config: typed('envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig', { pack_trace_reason: false }),
    },
    // Providers do not receive client addresses.
    skip_xff_append: true,
    normalize_path: true,
    merge_slashes: true,
    // Model names with a slash are encoded as %2F in paths.
    path_with_escaped_slashes_action: 'KEEP_UNCHANGED',
    server_header_transformation: 'PASS_THROUGH',
    scheme_header_transformation: { match_upstream: true },
    // A model may take minutes before its first byte; routes override this with timeouts.idle.
    stream_idle_timeout: '900s',
    // Limits slow clients.
    request_headers_timeout: '30s',
    request_timeout: '600s',
    common_http_protocol_options: { idle_timeout: '3600s' },
    // For old load tests and health checks. Without Host, only a route for all host names matches.
    http_protocol_options: { accept_http_10: true, default_host_for_http_10: 'no-host.invalid' },
    http2_protocol_options: {
      max_concurrent_streams: 1000,
      initial_stream_window_size: 262_144,
      // Room for 16 stalled uploads before they block others on the same connection.
      initial_connection_window_size: 4_194_304,
    },
  };
}
