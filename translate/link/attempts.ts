/** Failover within a request: the targets of a rule that Envoy may try one after the other. */
import { createHash } from 'node:crypto';
import type { AttemptRoutes } from '../../contract/policy.ts';
import type { RouteRule } from '../../crds/route.ts';
import type { DeploymentMode } from '../deployment-mode.ts';
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
  mode: DeploymentMode,
): LinkedAttempts | undefined {
  if (mode.type === 'Kubernetes' && !mode.hasPatchPolicies) {
    return undefined;
  }
  const tried = targets.filter(({ target, backend }) => target.weight > 0 && !backend.forwardsCredentials);
  if (rule.failover === undefined || tried.length < 2) {
    return undefined;
  }
  // On a cluster, the routes to the old backends exist beside those to the new ones for a while.
  const version = mode.type === 'Kubernetes' ? `/${versionOf(tried)}` : '';
  const name = `${route}/${rule.name}/${ALL_BACKENDS}${version}`;
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

/** Returns a text that changes with the targets. */
function versionOf(targets: readonly LinkedTarget[]): string {
  const text = targets.map(({ target: { id } }) => id).join(' ');
  return createHash('sha256').update(text).digest('hex').slice(0, VERSION_CHARACTERS);
}

/** Tells the few versions apart that exist at one time. */
const VERSION_CHARACTERS = 8;
