/**
 * Names of Envoy resources, which refer to each other by name and which extproc sees in
 * `xds.route_name`.
 */
import { ATTEMPT_CLUSTER_PREFIX } from '../contract/headers.ts';
import { attemptRoutesOf } from './link/attempt-routes.ts';
import type { GatewayListener } from './link/listeners.ts';
import type { LinkedVirtualHost } from './link/virtual-hosts.ts';

/** The entry route, which a request matches first. */
export function entryRoute(virtualHost: LinkedVirtualHost): string {
  return `entry/${virtualHost.key}`;
}

/** The route that matches if no generated route does. */
export function lastRoute(virtualHost: LinkedVirtualHost): string {
  return `last/${virtualHost.key}`;
}

export function targetRoute(virtualHost: LinkedVirtualHost, targetId: string): string {
  return `target/${virtualHost.key}/${targetId}`;
}

/** Returns the names of all routes of a virtual host. */
export function routeNamesOf(virtualHost: LinkedVirtualHost): readonly string[] {
  return [
    entryRoute(virtualHost),
    lastRoute(virtualHost),
    ...virtualHost.targets.map(({ target }) => targetRoute(virtualHost, target.id)),
    ...attemptRoutesOf(virtualHost).map(({ id }) => targetRoute(virtualHost, id)),
  ];
}

/** The route for host names without a virtual host. */
export function unmatchedRoute(configuration: string): string {
  return `unmatched/${configuration}`;
}

/**
 * All HTTP listeners of a port share a route configuration; each HTTPS listener has a separate one.
 */
export function routeConfigurationName(listener: GatewayListener): string {
  const { port, protocol } = listener.spec;
  return protocol === 'HTTP' ? `http/${port}` : `https/${port}/${listener.key}`;
}

export function listenerName(port: number): string {
  return `port/${port}`;
}

export function clusterName(backend: string): string {
  return `backend/${backend}`;
}

/** The cluster of a backend for attempts of failover within a request. */
export function attemptClusterName(backend: string): string {
  return `${ATTEMPT_CLUSTER_PREFIX}${backend}`;
}

export function credentialName(backend: string): string {
  return `credential/${backend}`;
}

export function caName(backend: string): string {
  return `authority/${backend}`;
}

/** `NAMESPACE/NAME` of the Secret. */
export function certificateName(secret: string): string {
  return `certificate/${secret}`;
}

/** The CAs of client certificates at a listener. */
export function clientAuthorityName(listener: GatewayListener): string {
  return `client-authority/${listener.key}`;
}

/** The token endpoint of an issuer; `authenticator` is its id. */
export function issuerName(authenticator: string): string {
  return `issuer/${authenticator}`;
}

export function loginSecretName(authenticator: string): string {
  return `login/${authenticator}`;
}

export function sessionSecretName(authenticator: string): string {
  return `session/${authenticator}`;
}

export const EXTPROC_CLUSTER = 'tallygate_extproc';
/**
 * What extproc may send on a stream before Envoy has passed it on. With 64 KB, a prompt of 1 MB
 * took a fifth more processor time of Envoy, because both sides waited for each other. A slow
 * client keeps as much of its response in Envoy, so the window must stay small.
 */
export const EXTPROC_STREAM_WINDOW_BYTES: number = 256 * 1024;
export const EXTPROC_FILTER = 'tallygate.extproc';
export const ATTEMPT_FILTER = 'tallygate.attempt';
export const CORS_FILTER = 'tallygate.cors';
export const OAUTH2_FILTER = 'tallygate.oauth2';
