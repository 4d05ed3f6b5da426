import type { DeploymentMode } from '../deployment-mode.ts';
import { allows } from '../link/listener-access.ts';
import type { LinkedVirtualHost } from '../link/virtual-hosts.ts';

/**
 * Returns the Gateway's namespace, or, if its listener does not allow that, the namespace of the
 * oldest attached route.
 */
export function entryNamespace({ listener, routes }: LinkedVirtualHost, mode: DeploymentMode): string {
  const { namespace } = listener.gateway.metadata;
  return allows(listener, namespace, mode) ? namespace : (routes[0]?.route.metadata.namespace ?? namespace);
}
