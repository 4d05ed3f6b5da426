/**
 * Finds users' policies that Envoy Gateway accepts on a generated HTTPRoute but Envoy does not
 * enforce there. Most filters use the route that a request matches first, which is an entry route
 * or whatever a forged header selects; others use the final route.
 */
import { type KubeObject, keyOf } from '../api/object.ts';
import { targetedSections, type UserPolicy } from './user-policies.ts';
import type { GatewayVerdict } from './verdicts.ts';

/**
 * Fields of a BackendTrafficPolicy that are enforced by a filter of the first route, not by the
 * final route or its cluster.
 */
const enforcedByFirstRoute: ReadonlySet<string> = new Set([
  'compression',
  'compressor',
  'faultInjection',
  'requestBuffer',
]);

/** Returns the fields that requests can bypass. */
function unenforcedFields({ kind, asks }: UserPolicy, isEntry: boolean): readonly string[] {
  if (kind === 'BackendTrafficPolicy') {
    return asks.filter((field) => enforcedByFirstRoute.has(field));
  }
  // Authorization uses the final route, so it is in force on a target.
  if (kind === 'SecurityPolicy') {
    return asks.filter((field) => isEntry || field !== 'authorization');
  }
  return [];
}

/** Looks up by `NAMESPACE/NAME` of a generated HTTPRoute; `entries`: the entry routes. */
export function unenforceableOn(
  policies: readonly UserPolicy[],
  httpRoutes: ReadonlyMap<string, KubeObject>,
  entries: ReadonlySet<string>,
): (httpRoute: string) => GatewayVerdict | undefined {
  const byNamespace = Map.groupBy(policies, ({ namespace }) => namespace);
  return (httpRoute) => {
    const route = httpRoutes.get(httpRoute)?.metadata;
    if (route === undefined) {
      return undefined;
    }
    for (const policy of byNamespace.get(route.namespace) ?? []) {
      const fields = unenforcedFields(policy, entries.has(httpRoute));
      if (fields.length === 0 || targetedSections(policy, 'HTTPRoute', route.name, route.labels).length === 0) {
        continue;
      }
      const message = `Envoy Gateway accepts ${fields.join(', ')} of ${policy.kind} ${keyOf(policy)} on HTTPRoute ${httpRoute}, but requests can bypass it, because Tallygate selects their route twice; fix: target the Gateway, or one of its listeners by sectionName`;
      return { reason: 'NotEnforceable', message };
    }
    return undefined;
  };
}
