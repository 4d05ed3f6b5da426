/**
 * A user's route that changes to another backend is in the policy sooner than in the Envoy beside, and between the two its requests would be answered with an
 * error. So such a policy waits until Envoy has what it leads to (`ConfigVerifier.routed`). Pure.
 */
import type { GatewayPolicy } from '../../contract/policy.ts';

/** The Envoy routes that a policy waits for. None where it only limits, or brings routes that had no answer before. */
export function pendingRoutes(before: GatewayPolicy, after: GatewayPolicy): readonly string[] {
  const led = uses(before);
  const served = new Set(led.map(({ route }) => route));
  const known = new Set(led.map(({ id }) => id));
  if (!uses(after).some(({ route, id }) => served.has(route) && !known.has(id))) {
    return [];
  }
  const there = new Set(before.virtualHosts.flatMap(({ routeNames }) => routeNames));
  return after.virtualHosts.flatMap(({ routeNames }) => routeNames).filter((name) => !there.has(name));
}

function uses({ virtualHosts }: GatewayPolicy): readonly { readonly route: string; readonly id: string }[] {
  return virtualHosts.flatMap(({ rules, passthrough }) => [
    ...rules.flatMap(({ route, targets }) => targets.map(({ id }) => ({ route, id }))),
    ...passthrough.map(({ route, target }) => ({ route, id: target })),
  ]);
}
