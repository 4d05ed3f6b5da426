/** Common parts of Envoy's configuration. */
import type { JsonObject, NamedResource, SocketAddress } from '../plan.ts';

/** A `TypedExtensionConfig`. */
export type HttpFilterResource = NamedResource & { readonly typed_config: JsonObject & { readonly '@type': string } };

/** A message inside `Any`. */
export function typed(type: string, fields: JsonObject): JsonObject & { readonly '@type': string } {
  return { '@type': `type.googleapis.com/${type}`, ...fields };
}

/**
 * A message inside `Any` whose type only Envoy knows, not the control plane between them
 * (`TypedStruct`).
 */
export function opaque(type: string, fields: JsonObject): JsonObject {
  return typed('xds.type.v3.TypedStruct', { type_url: `type.googleapis.com/${type}`, value: fields });
}

export function socketAddress(address: SocketAddress): JsonObject {
  return address.type === 'Unix'
    ? { pipe: { path: address.path } }
    : { socket_address: { address: address.host, port_value: address.port } };
}

export function seconds(milliseconds: number): string {
  return `${milliseconds / 1000}s`;
}

/** A resource in a separate file, which Envoy reloads when another file is renamed over it. */
export function fileSource(directory: string, file: string): JsonObject {
  return { path_config_source: { path: `${directory}/${file}` }, resource_api_version: 'V3' };
}

/**
 * Returns the file of a named resource. File names cannot contain `/`, Kubernetes names cannot
 * contain `_`.
 */
export function fileOf(kind: 'route' | 'secret' | 'extension', name: string): string {
  return `${kind}-${name.replaceAll('*', '+').replaceAll('/', '_')}.json`;
}

/**
 * Each open stream counts as a request, so the default limits (1,024) would refuse the 1,025th
 * stream.
 */
export const circuitBreakers: JsonObject = {
  thresholds: ['DEFAULT', 'HIGH'].map((priority) => ({
    priority,
    max_connections: 1_000_000,
    max_pending_requests: 1_000_000,
    max_requests: 1_000_000,
    max_retries: 1_000_000,
  })),
};
