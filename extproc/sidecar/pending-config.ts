/**
 * Finds the parts of Envoy's configuration that a policy has to wait for. When a user moves a route
 * to another backend, the policy arrives before Envoy's new routes, and requests in between would
 * fail; so would attempts in clusters that Envoy does not have yet. Such a policy waits until Envoy
 * has them (`ConfigVerifier.waitFor`). Pure.
 */
import { ATTEMPT_CLUSTER_PREFIX } from '../../contract/headers.ts';
import type { GatewayPolicy } from '../../contract/policy.ts';

export interface PendingConfig {
  /** Names of routes. */
  readonly routes: readonly string[];
  /** Values of the route header for routes to all backends of a rule. */
  readonly attemptRoutes: readonly string[];
  readonly clusters: readonly string[];
}

/** Returns undefined if the policy waits for nothing. */
export function pendingConfig(before: GatewayPolicy, after: GatewayPolicy): PendingConfig | undefined {
  const routes = pendingRoutes(before, after);
  const known = new Set(attemptsIn(before).map(({ id }) => id));
  const attempts = attemptsIn(after).filter(({ id }) => !known.has(id));
  if (routes.length + attempts.length === 0) {
    return undefined;
  }
  const clusters = attempts.flatMap(({ backends }) => backends.map((backend) => ATTEMPT_CLUSTER_PREFIX + backend));
  return { routes, attemptRoutes: attempts.map(({ id }) => id), clusters: [...new Set(clusters)] };
}

/**
 * Returns the Envoy routes that the policy waits for: none if it only changes limits, or adds
 * routes that were not served before.
 */
function pendingRoutes(before: GatewayPolicy, after: GatewayPolicy): readonly string[] {
  const targets = targetsOf(before);
  const served = new Set(targets.map(({ route }) => route));
  const known = new Set(targets.map(({ id }) => id));
  if (!targetsOf(after).some(({ route, id }) => served.has(route) && !known.has(id))) {
    return [];
  }
  const present = new Set(before.virtualHosts.flatMap(({ routeNames }) => routeNames));
  return after.virtualHosts.flatMap(({ routeNames }) => routeNames).filter((name) => !present.has(name));
}

function attemptsIn({
  virtualHosts,
}: GatewayPolicy): readonly { readonly id: string; readonly backends: readonly string[] }[] {
  return virtualHosts.flatMap(({ rules }) =>
    rules.flatMap(({ failover, targets }) => {
      const { route, timedRoute, targets: tried = [] } = failover?.withinRequest ?? {};
      const backends = targets.filter(({ id }) => tried.some((each) => each.id === id)).map(({ backend }) => backend);
      return [route, timedRoute].flatMap((id) => (id === undefined ? [] : [{ id, backends }]));
    }),
  );
}

function targetsOf({ virtualHosts }: GatewayPolicy): readonly { readonly route: string; readonly id: string }[] {
  return virtualHosts.flatMap(({ rules, passthrough }) => [
    ...rules.flatMap(({ route, targets }) => targets.map(({ id }) => ({ route, id }))),
    ...passthrough.map(({ route, target }) => ({ route, id: target })),
  ]);
}
