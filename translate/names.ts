/** Names that Envoy's resources call each other by, and that extproc sees in `xds.route_name`. One place, so that both sides of a name agree. */
import type { Door } from './doors.ts';
import type { LinkedEntry } from './entries.ts';

/** Where a request of this entry matches first. */
export function entryRoute(entry: LinkedEntry): string {
  return `entry/${entry.key}`;
}

/** Where it ends when no other route matches. */
export function lastRoute(entry: LinkedEntry): string {
  return `last/${entry.key}`;
}

export function targetRoute(entry: LinkedEntry, targetId: string): string {
  return `target/${entry.key}/${targetId}`;
}

/** All routes of an entry. */
export function entryRoutes(entry: LinkedEntry): readonly string[] {
  return [entryRoute(entry), lastRoute(entry), ...entry.targets.map(({ target }) => targetRoute(entry, target.id))];
}

/** For host names that no route serves. */
export function strayRoute(configuration: string): string {
  return `stray/${configuration}`;
}

/** All plain doors of a port share a route configuration; each door with a certificate has its own. */
export function routeConfigurationName(door: Door): string {
  const { port, protocol } = door.listener;
  return protocol === 'HTTP' ? `http/${port}` : `https/${port}/${door.key}`;
}

export function listenerName(port: number): string {
  return `port/${port}`;
}

export function clusterName(backend: string): string {
  return `backend/${backend}`;
}

export function credentialName(backend: string): string {
  return `credential/${backend}`;
}

export function authorityName(backend: string): string {
  return `authority/${backend}`;
}

/** `NAMESPACE/NAME` of the Secret. */
export function certificateName(secret: string): string {
  return `certificate/${secret}`;
}

export const extprocCluster = 'tallygate_extproc';
export const extprocFilter = 'tallygate.extproc';
