/**
 * Users' policies that Envoy Gateway accepts on a generated HTTPRoute and that Envoy does not carry out there: most filters go by the route that a request
 * matches first, which is an entry, or whatever a forged header names; others by the one that it has in the end.
 */
import { type KubeObject, keyOf } from '../api/object.ts';
import { reached, type UsersPolicy } from './users-policies.ts';
import type { Verdict } from './verdicts.ts';

/** Of a BackendTrafficPolicy: what is not done by the last route or its cluster, but by a filter that the first one turns on. */
const TURNED_ON_AT_FIRST: ReadonlySet<string> = new Set([
  'compression',
  'compressor',
  'faultInjection',
  'requestBuffer',
]);

/** The fields that requests can pass without. */
function idle({ kind, asks }: UsersPolicy, isEntry: boolean): readonly string[] {
  if (kind === 'BackendTrafficPolicy') {
    return asks.filter((field) => TURNED_ON_AT_FIRST.has(field));
  }
  // Authorization goes by the route that a request has in the end, so it is in force on a target.
  if (kind === 'SecurityPolicy') {
    return asks.filter((field) => isEntry || field !== 'authorization');
  }
  return [];
}

/** By `NAMESPACE/NAME` of a generated HTTPRoute; `entries`: those that requests match first. */
export function unenforceableOn(
  policies: readonly UsersPolicy[],
  httpRoutes: ReadonlyMap<string, KubeObject>,
  entries: ReadonlySet<string>,
): (httpRoute: string) => Verdict | undefined {
  const byNamespace = Map.groupBy(policies, ({ namespace }) => namespace);
  return (httpRoute) => {
    const route = httpRoutes.get(httpRoute)?.metadata;
    if (route === undefined) {
      return undefined;
    }
    for (const policy of byNamespace.get(route.namespace) ?? []) {
      const fields = idle(policy, entries.has(httpRoute));
      if (fields.length === 0 || reached(policy, 'HTTPRoute', route.name, route.labels).length === 0) {
        continue;
      }
      const message = `Envoy Gateway accepts ${fields.join(', ')} of ${policy.kind} ${keyOf(policy)} on HTTPRoute ${httpRoute}, but requests can pass without it, because their route is chosen twice; fix: let it target the Gateway, or one of its listeners by sectionName`;
      return { reason: 'NotEnforceable', message };
    }
    return undefined;
  };
}
