/**
 * Users' policies that Envoy Gateway accepts on a generated HTTPRoute and that Envoy does not carry out there: most filters go by the route that a request
 * matches first, which is an entry, or whatever a forged header names; others by the one that it has in the end.
 */
import type { LabelSelector } from '../../crds/gateway-api.ts';
import { GATEWAY_GROUP } from '../../crds/schema.ts';
import { selects } from '../../translate/listener-access.ts';
import { type KubeObject, keyOf } from '../api/object.ts';
import type { Verdict } from './verdicts.ts';

/** What is needed of a SecurityPolicy. */
export interface SecurityPolicy {
  readonly name: string;
  readonly namespace: string;
  /** HTTPRoutes by name. */
  readonly targets: readonly string[];
  /** HTTPRoutes by label. */
  readonly selectors: readonly LabelSelector[];
  /** What it asks for, as its fields are called. */
  readonly asks: readonly string[];
}

interface Spec {
  readonly targetRef?: Target;
  readonly targetRefs?: readonly Target[];
  readonly targetSelectors?: readonly Selector[];
}

interface Target {
  readonly kind: string;
  readonly name: string;
}

interface Selector {
  readonly group?: string;
  readonly kind: string;
  readonly matchLabels?: LabelSelector['matchLabels'];
  readonly matchExpressions?: readonly (Omit<LabelSelector['matchExpressions'][number], 'values'> & {
    readonly values?: string[];
  })[];
}

const ABOUT_ITSELF: ReadonlySet<string> = new Set(['targetRef', 'targetRefs', 'targetSelectors', 'mergeType']);
/** Goes by the route that a request has in the end, so it is in force on a target. */
const IN_THE_END = 'authorization';

export function securityPolicy({ metadata, ...object }: KubeObject): SecurityPolicy {
  const spec = (object['spec'] ?? {}) as Spec;
  const targets = [...(spec.targetRefs ?? []), ...(spec.targetRef ? [spec.targetRef] : [])];
  // Those that reach other namespaces need a ReferenceGrant there; nobody gives one for generated routes.
  const selectors = (spec.targetSelectors ?? []).filter(
    ({ group, kind }) => (group ?? GATEWAY_GROUP) === GATEWAY_GROUP && kind === 'HTTPRoute',
  );
  return {
    name: metadata.name,
    namespace: metadata.namespace,
    targets: targets.filter(({ kind }) => kind === 'HTTPRoute').map(({ name }) => name),
    selectors: selectors.map(({ matchLabels = {}, matchExpressions = [] }) => ({
      matchLabels,
      matchExpressions: matchExpressions.map(({ values = [], ...each }) => ({ ...each, values })),
    })),
    asks: Object.keys(spec).filter((field) => !ABOUT_ITSELF.has(field)),
  };
}

/** By `NAMESPACE/NAME` of a generated HTTPRoute; `entries`: those that requests match first. */
export function unenforceableOn(
  policies: readonly SecurityPolicy[],
  httpRoutes: ReadonlyMap<string, KubeObject>,
  entries: ReadonlySet<string>,
): (httpRoute: string) => Verdict | undefined {
  const byNamespace = Map.groupBy(policies, ({ namespace }) => namespace);
  return (httpRoute) => {
    const route = httpRoutes.get(httpRoute)?.metadata;
    if (route === undefined) return undefined;
    for (const policy of byNamespace.get(route.namespace) ?? []) {
      const reached =
        policy.targets.includes(route.name) || policy.selectors.some((each) => selects(each, route.labels ?? {}));
      const idle = policy.asks.filter((field) => entries.has(httpRoute) || field !== IN_THE_END);
      if (!reached || idle.length === 0) continue;
      const message = `Envoy Gateway accepts ${idle.join(', ')} of SecurityPolicy ${keyOf(policy)} on HTTPRoute ${httpRoute}, but requests can pass without it, because their route is chosen twice; fix: let it target the Gateway, or one of its listeners by sectionName`;
      return { reason: 'NotEnforceable', message };
    }
    return undefined;
  };
}
