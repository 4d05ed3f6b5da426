/**
 * One cluster per backend, with TLS settings and, as an upstream filter, the backend's credential.
 */

import type { LinkedBackend } from '../link/backends.ts';
import type { Credential } from '../link/credentials.ts';
import type { Endpoint } from '../link/endpoints.ts';
import { addressFamily } from '../link/ip-address.ts';
import { caName, clusterName, credentialName } from '../names.ts';
import type { EnvoyOptions, JsonObject, NamedResource } from '../plan.ts';
import type { SecretText } from '../world.ts';
import { circuitBreakers, fileOf, fileSource, typed } from './resource.ts';

/** Bytes that one stream from a provider may buffer in Envoy. */
const STREAM_WINDOW_BYTES = 256 * 1024;
const STREAMS_PER_CONNECTION = 64;

const http2 = {
  initial_stream_window_size: STREAM_WINDOW_BYTES,
  // Room for all streams: stalled clients cannot block others on the same connection.
  initial_connection_window_size: STREAM_WINDOW_BYTES * STREAMS_PER_CONNECTION,
  max_concurrent_streams: STREAMS_PER_CONNECTION,
  connection_keepalive: { interval: '30s', timeout: '10s', connection_idle_interval: '15s' },
};

/** Where Envoy finds keys and certificates of backends. */
export interface SecretSources {
  /** Returns a `SdsSecretConfig`. */
  credential(backend: string): JsonObject;
  /** Returns the part of a `CommonTlsContext` that trusts the CAs of a backend. */
  authorities(backend: string, caBundle: SecretText | undefined, names: JsonObject): JsonObject;
}

export function fileSources(options: EnvoyOptions): SecretSources {
  const inFile = (name: string): JsonObject => ({
    name,
    sds_config: fileSource(options.directory, fileOf('secret', name)),
  });
  return {
    credential: (backend) => inFile(credentialName(backend)),
    authorities: (backend, caBundle, names) =>
      caBundle === undefined
        ? { validation_context: { trusted_ca: { filename: options.caBundle ?? '' }, ...names } }
        : {
            combined_validation_context: {
              default_validation_context: names,
              validation_context_sds_secret_config: inFile(caName(backend)),
            },
          },
  };
}

export function clusters(backends: readonly LinkedBackend[], options: EnvoyOptions): readonly NamedResource[] {
  const sources = fileSources(options);
  return backends.flatMap(({ name, usable }) => {
    if (usable === undefined) {
      return [];
    }
    const { endpoint, credential } = usable;
    const filters = credential && { http_filters: [credentialFilter(name, credential, sources), upstreamCodec] };
    return [providerCluster(clusterName(name), endpoint, { backend: name, filters }, sources)];
  });
}

interface ProviderClusterParts {
  /** With a separate CA bundle. */
  readonly backend?: string;
  readonly filters?: JsonObject | undefined;
  /** For each connection. */
  readonly bufferBytes?: number;
  /** The Host header of requests, for routes that take it from the endpoint. */
  readonly hostname?: string;
}

const BUFFER_BYTES = 64 * 1024;

export function providerCluster(
  name: string,
  endpoint: Endpoint,
  { backend = '', filters = {}, bufferBytes = BUFFER_BYTES, hostname }: ProviderClusterParts,
  sources: SecretSources,
): NamedResource {
  const address = { socket_address: { address: endpoint.host, port_value: endpoint.port } };
  return {
    name,
    type: addressFamily(endpoint.host) === 0 ? 'STRICT_DNS' : 'STATIC',
    ...(addressFamily(endpoint.host) === 0 && { dns_lookup_family: 'V4_PREFERRED' }),
    connect_timeout: '5s',
    per_connection_buffer_limit_bytes: bufferBytes,
    circuit_breakers: circuitBreakers,
    upstream_connection_options: { tcp_keepalive: { keepalive_time: 60, keepalive_interval: 15, keepalive_probes: 4 } },
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { ...(hostname && { hostname }), address } }] }],
    },
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': typed(
        'envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        {
          // Shorter than the idle timeout of common servers, so that requests rarely hit a closing
          // connection.
          common_http_protocol_options: { idle_timeout: '30s' },
          ...(endpoint.tls === undefined
            ? { explicit_http_config: { http_protocol_options: {} } }
            : { auto_config: { http_protocol_options: {}, http2_protocol_options: http2 } }),
          ...filters,
        },
      ),
    },
    ...(endpoint.tls && { transport_socket: tlsSocket(backend, endpoint.tls, sources) }),
  };
}

/** The last upstream filter, which sends the request. */
export const upstreamCodec: JsonObject = {
  name: 'envoy.filters.http.upstream_codec',
  typed_config: typed('envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec', {}),
};

/**
 * Returns the upstream filter that authenticates to a backend, for every type of credential: a key
 * and a token of a cloud are both one header. It runs after the router: the route has removed the
 * client's credentials before this filter adds the backend's.
 */
export function credentialFilter(backend: string, { header }: Credential, sources: SecretSources): JsonObject {
  return {
    name: 'envoy.filters.http.credential_injector',
    typed_config: typed('envoy.extensions.filters.http.credential_injector.v3.CredentialInjector', {
      overwrite: true,
      credential: {
        name: 'envoy.http.injected_credentials.generic',
        typed_config: typed('envoy.extensions.http.injected_credentials.generic.v3.Generic', {
          credential: sources.credential(backend),
          header,
        }),
      },
    }),
  };
}

function tlsSocket(backend: string, tls: NonNullable<Endpoint['tls']>, sources: SecretSources): JsonObject {
  const isAddress = addressFamily(tls.hostname) !== 0;
  const names = {
    match_typed_subject_alt_names: [{ san_type: isAddress ? 'IP_ADDRESS' : 'DNS', matcher: { exact: tls.hostname } }],
  };
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: typed('envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext', {
      // SNI does not allow IP addresses (RFC 6066).
      ...(!isAddress && { sni: tls.hostname }),
      common_tls_context: {
        tls_params: { tls_minimum_protocol_version: 'TLSv1_2' },
        ...sources.authorities(backend, tls.caBundle, names),
      },
    }),
  };
}
