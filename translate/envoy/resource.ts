/** Forms that recur in Envoy's configuration. */
import type { JsonObject, SocketAddress } from '../plan.ts';

/** A message inside `Any`. */
export function typed(type: string, fields: JsonObject): JsonObject {
  return { '@type': `type.googleapis.com/${type}`, ...fields };
}

export function socketAddress(address: SocketAddress): JsonObject {
  return address.type === 'Unix'
    ? { pipe: { path: address.path } }
    : { socket_address: { address: address.host, port_value: address.port } };
}

export function seconds(milliseconds: number): string {
  return `${milliseconds / 1000}s`;
}

/** A resource that stands in a file of its own; Envoy reads the file again when another is renamed over it. */
export function fileSource(directory: string, file: string): JsonObject {
  return { path_config_source: { path: `${directory}/${file}` }, resource_api_version: 'V3' };
}

/** The file of a named resource. `/` never stands in file names, `_` never in Kubernetes names. */
export function fileOf(kind: 'route' | 'secret' | 'extension', name: string): string {
  return `${kind}-${name.replaceAll('*', '+').replaceAll('/', '_')}.json`;
}

/** Each open stream holds a request, so the defaults (1,024) would end the service at 1,024 streams. */
export const circuitBreakers: JsonObject = {
  thresholds: ['DEFAULT', 'HIGH'].map((priority) => ({
    priority,
    max_connections: 1_000_000,
    max_pending_requests: 1_000_000,
    max_requests: 1_000_000,
    max_retries: 1_000_000,
  })),
};
