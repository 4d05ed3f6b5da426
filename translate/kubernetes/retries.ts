/**
 * Warns about routes whose requests a user's BackendTrafficPolicy may retry after the provider has
 * started: the provider bills each attempt, and quotas count only the one that responds.
 * Tallygate's own retries happen before a provider has started, unless the route lists status
 * codes.
 */
import { type Condition, condition } from '../../crds/conditions.ts';
import type { TrafficPolicySpec } from '../../crds/gateway-api.ts';
import type { LinkedVirtualHost } from '../link/virtual-hosts.ts';
import { fullName } from '../object-names.ts';
import type { ObjectStatus } from '../plan.ts';
import { type UserPolicyContext, userPoliciesOf } from './user-policies.ts';

/** Triggers that fire before the provider has received the request. */
const beforeTheProvider: ReadonlySet<string> = new Set(['connect-failure', 'refused-stream']);

export function withRetries(
  statuses: readonly ObjectStatus[],
  virtualHosts: readonly LinkedVirtualHost[],
  context: UserPolicyContext,
): readonly ObjectStatus[] {
  /** Keys `ROUTE GATEWAY` and `ROUTE GATEWAY LISTENER`. */
  const retried = new Set<string>();
  for (const { listener, targets } of virtualHosts) {
    if (!mayBillTwice(userPoliciesOf(listener, context).traffic?.retry)) {
      continue;
    }
    for (const { route, retries } of targets) {
      const gateway = `${route} ${fullName(listener.gateway)}`;
      if (retries === undefined) {
        retried.add(gateway).add(`${gateway} ${listener.spec.name}`);
      }
    }
  }
  if (retried.size === 0) {
    return statuses;
  }
  return statuses.map((status): ObjectStatus => {
    const { kind, namespace, name } = status.object;
    if (kind !== 'AIGatewayRoute' || status.parents === undefined) {
      return status;
    }
    return {
      ...status,
      parents: status.parents.map((parent) => {
        const { parentRef, conditions } = parent;
        const gateway = `${namespace}/${name} ${parentRef.namespace ?? namespace}/${parentRef.name}`;
        const key = parentRef.sectionName === undefined ? gateway : `${gateway} ${parentRef.sectionName}`;
        return retried.has(key) ? { ...parent, conditions: [...conditions, warning(conditions)] } : parent;
      }),
    };
  });
}

function mayBillTwice(retry: TrafficPolicySpec['retry']): boolean {
  if (retry === undefined || retry.numRetries === 0) {
    return false;
  }
  const { triggers, httpStatusCodes = [] } = retry.retryOn ?? {};
  // Envoy Gateway's default triggers include 503.
  const early = triggers?.every((each) => beforeTheProvider.has(each)) ?? false;
  return !early || httpStatusCodes.length > 0 || retry.perRetry?.timeout !== undefined;
}

function warning(conditions: readonly Condition[]): Condition {
  const accepted = conditions.find(({ type }) => type === 'Accepted');
  const message =
    'a BackendTrafficPolicy on the Gateway or its listener retries requests that a provider may have started to respond: the provider bills each attempt, and quotas count one; fix: set `retries` on each rule, or keep only connect-failure and refused-stream in retryOn.triggers';
  return condition('tallygate.dev/RetriesNotCounted', 'RetriedByUsersPolicy', message, accepted?.observedGeneration);
}
