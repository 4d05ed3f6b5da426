/**
 * Finds the Envoy routes that a policy has to wait for. When a user moves a route to another
 * backend, the policy arrives before Envoy's new routes, and requests in between would fail. Such a
 * policy waits until Envoy has its routes (`ConfigVerifier.waitForRoutes`). Pure.
 */
import type { GatewayPolicy } from '../../contract/policy.ts';

/**
 * Returns the Envoy routes that the policy waits for: none if it only changes limits, or adds
 * routes that were not served before.
 */
export function pendingRoutes(before: GatewayPolicy, after: GatewayPolicy): readonly string[] {
  const targets = targetsOf(before);
  const served = new Set(targets.map(({ route }) => route));
  const known = new Set(targets.map(({ id }) => id));
  if (!targetsOf(after).some(({ route, id }) => served.has(route) && !known.has(id))) {
    return [];
  }
  const present = new Set(before.virtualHosts.flatMap(({ routeNames }) => routeNames));
  return after.virtualHosts.flatMap(({ routeNames }) => routeNames).filter((name) => !present.has(name));
}

function targetsOf({ virtualHosts }: GatewayPolicy): readonly { readonly route: string; readonly id: string }[] {
  return virtualHosts.flatMap(({ rules, passthrough }) => [
    ...rules.flatMap(({ route, targets }) => targets.map(({ id }) => ({ route, id }))),
    ...passthrough.map(({ route, target }) => ({ route, id: target })),
  ]);
}
