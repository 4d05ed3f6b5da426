/** Which of a user's own policies hold where routes are served: Envoy Gateway takes one for the listener, or else one for the Gateway; the oldest of each. */
import type { ClientPolicySpec, PolicyTargets, TrafficPolicySpec } from '../../crds/gateway-api.ts';
import { GATEWAY_GROUP } from '../../crds/schema.ts';
import type { Catalog } from '../catalog.ts';
import type { Door } from '../doors.ts';
import { selects } from '../listener-access.ts';
import { byAge } from '../report.ts';
import type { Site } from '../site.ts';
import { ENVOY_GROUP } from './manifest.ts';
import type { ClientPolicy, TrafficPolicy } from './plan.ts';

/** What they say already stays where a route is silent: what is written for the route would push it aside. */
export interface UserPolicies {
  readonly traffic: TrafficPolicySpec | undefined;
  readonly client: ClientPolicySpec | undefined;
}

/** Where they are looked for. */
export interface PolicySurroundings {
  readonly catalog: Catalog;
  readonly site: Site;
  readonly trafficPolicies: readonly TrafficPolicy[];
  readonly clientPolicies: readonly ClientPolicy[];
}

export function userPoliciesOf(door: Door, around: PolicySurroundings): UserPolicies {
  return {
    traffic: holding('BackendTrafficPolicy', around.trafficPolicies, door, around),
    client: holding('ClientTrafficPolicy', around.clientPolicies, door, around),
  };
}

function holding<Spec extends PolicyTargets>(
  kind: string,
  policies: readonly { readonly metadata: TrafficPolicy['metadata']; readonly spec: Spec }[],
  { gateway, listener }: Door,
  { catalog, site }: PolicySurroundings,
): Spec | undefined {
  const { namespace, name, labels = {} } = gateway.metadata;
  const byName = (spec: Spec, section: string | undefined) =>
    [...spec.targetRefs, ...(spec.targetRef ? [spec.targetRef] : [])].some(
      (target) => target.kind === 'Gateway' && target.name === name && target.sectionName === section,
    );
  const bySelector = (spec: Spec, from: string) =>
    spec.targetSelectors.some(
      (selector) =>
        selector.kind === 'Gateway' && selects(selector, labels) && reaches(selector.namespaces, from, namespace, site),
    );
  const permitted = (from: string) =>
    catalog.permits(
      { group: ENVOY_GROUP, kind, namespace: from },
      { group: GATEWAY_GROUP, kind: 'Gateway', namespace, name },
    );
  const sorted = policies.toSorted(byAge);
  const ofListener = sorted.find(
    ({ metadata, spec }) => metadata.namespace === namespace && byName(spec, listener.name),
  );
  const ofGateway = sorted.find(
    ({ metadata: { namespace: from }, spec }) =>
      (from === namespace && byName(spec, undefined)) || (bySelector(spec, from) && permitted(from)),
  );
  return (ofListener ?? ofGateway)?.spec;
}

function reaches(
  { from, selector }: PolicyTargets['targetSelectors'][number]['namespaces'],
  here: string,
  there: string,
  site: Site,
): boolean {
  if (from === 'Selector') {
    const labels = site.type === 'Cluster' ? site.namespaces.get(there) : undefined;
    return labels !== undefined && selector !== undefined && selects(selector, labels);
  }
  return from === 'All' || here === there;
}
