/** Failover within a request: the targets of a rule that Envoy may try one after the other. */
import type { AttemptRoutes } from '../../contract/policy.ts';
import type { RouteRule } from '../../crds/route.ts';
import type { LinkedTarget } from './linked-target.ts';
import type { TargetIds } from './route-ids.ts';

export interface LinkedAttempts {
  readonly routes: AttemptRoutes;
  readonly targets: readonly LinkedTarget[];
}

/** Stands for a backend in the id of a route; not a valid name. */
const ALL_BACKENDS = '-';
const TIMED = 'timed';

/**
 * Returns undefined where the rule has fewer than two targets to try. A backend that receives the
 * client's own credential is none, because another backend must not receive it.
 */
export function linkAttempts(
  route: string,
  rule: RouteRule,
  targets: readonly LinkedTarget[],
  ids: TargetIds,
): LinkedAttempts | undefined {
  const tried = targets.filter(({ target, backend }) => target.weight > 0 && !backend.forwardsCredentials);
  if (rule.failover === undefined || tried.length < 2) {
    return undefined;
  }
  const name = `${route}/${rule.name}/${ALL_BACKENDS}`;
  const isTimed = rule.timeouts?.firstToken !== undefined && rule.failover.on.includes('FirstTokenTimeout');
  return {
    routes: {
      route: ids(name),
      ...(isTimed && { timedRoute: ids(`${name}/${TIMED}`) }),
      targets: tried.map(({ target: { id }, backend: { rewrite } }) => ({ id, ...(rewrite && { rewrite }) })),
    },
    targets: tried,
  };
}
