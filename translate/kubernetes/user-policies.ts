/**
 * Finds the user's Envoy Gateway policies for a listener. Envoy Gateway applies the oldest policy
 * of the listener, or else the oldest policy of the Gateway.
 */
import type { ClientPolicySpec, PolicyTargets, TrafficPolicySpec } from '../../crds/gateway-api.ts';
import type { KubernetesObject } from '../../crds/kinds.ts';
import { GATEWAY_GROUP } from '../../crds/schema.ts';
import type { DeploymentMode } from '../deployment-mode.ts';
import { selects } from '../link/listener-access.ts';
import type { GatewayListener } from '../link/listeners.ts';
import { byAge } from '../object-names.ts';
import type { ResourceIndex } from '../resource-index.ts';
import { ENVOY_GROUP } from './manifest.ts';
import type { ClientPolicy, SecurityPolicy, TrafficPolicy } from './plan.ts';

/**
 * Settings from the user's Gateway policies. Apply them where the route sets nothing, because a
 * route-level policy would override them.
 */
export interface UserPolicies {
  readonly traffic: TrafficPolicySpec | undefined;
  readonly client: ClientPolicySpec | undefined;
}

export interface UserPolicyContext {
  readonly resources: ResourceIndex;
  readonly mode: DeploymentMode;
  readonly trafficPolicies: readonly TrafficPolicy[];
  readonly clientPolicies: readonly ClientPolicy[];
  readonly securityPolicies: readonly SecurityPolicy[];
}

export function userPoliciesOf(listener: GatewayListener, context: UserPolicyContext): UserPolicies {
  return {
    traffic: policiesOn('BackendTrafficPolicy', context.trafficPolicies, listener, context)[0]?.spec,
    client: policiesOn('ClientTrafficPolicy', context.clientPolicies, listener, context)[0]?.spec,
  };
}

/** Modes of `clientValidation` in which Envoy accepts certificates of any authority. */
const unverified: readonly unknown[] = ['Request', 'RequireAny'];

/** Returns the listeners, with whether a user's policy lets unverified client certificates pass. */
export function withClientPolicies(
  listeners: readonly GatewayListener[],
  context: Pick<UserPolicyContext, 'resources' | 'mode' | 'clientPolicies'>,
): readonly GatewayListener[] {
  return listeners.map((listener) => {
    const policies = policiesOn('ClientTrafficPolicy', context.clientPolicies, listener, context);
    const acceptsUnverified = policies.some(({ spec }) => unverified.includes(spec.tls?.clientValidation?.mode));
    return acceptsUnverified ? { ...listener, acceptsUnverified } : listener;
  });
}

/** Returns all of a listener's and its Gateway's, whichever of them Envoy Gateway applies. */
export function userSecurityPolicies(listener: GatewayListener, context: UserPolicyContext): readonly SecurityPolicy[] {
  return policiesOn('SecurityPolicy', context.securityPolicies, listener, context);
}

/** Returns the policies of the listener, then those of its Gateway, each from the oldest. */
function policiesOn<Spec extends PolicyTargets>(
  kind: string,
  policies: readonly KubernetesObject<Spec>[],
  { gateway, spec: { name: listenerName } }: GatewayListener,
  { resources, mode }: Pick<UserPolicyContext, 'resources' | 'mode'>,
): readonly KubernetesObject<Spec>[] {
  const { namespace, name, labels = {} } = gateway.metadata;
  const byName = (spec: Spec, section: string | undefined) =>
    [...spec.targetRefs, ...(spec.targetRef ? [spec.targetRef] : [])].some(
      (target) => target.kind === 'Gateway' && target.name === name && target.sectionName === section,
    );
  const bySelector = (spec: Spec, from: string) =>
    spec.targetSelectors.some(
      (selector) =>
        selector.kind === 'Gateway' && selects(selector, labels) && reaches(selector.namespaces, from, namespace, mode),
    );
  const permitted = (from: string) =>
    resources.permits(
      { group: ENVOY_GROUP, kind, namespace: from },
      { group: GATEWAY_GROUP, kind: 'Gateway', namespace, name },
    );
  const sorted = policies.toSorted(byAge);
  const ofListener = sorted.filter(
    ({ metadata, spec }) => metadata.namespace === namespace && byName(spec, listenerName),
  );
  const ofGateway = sorted.filter(
    ({ metadata: { namespace: from }, spec }) =>
      (from === namespace && byName(spec, undefined)) || (bySelector(spec, from) && permitted(from)),
  );
  return [...ofListener, ...ofGateway];
}

function reaches(
  { from, selector }: PolicyTargets['targetSelectors'][number]['namespaces'],
  policyNamespace: string,
  gatewayNamespace: string,
  mode: DeploymentMode,
): boolean {
  if (from === 'Selector') {
    const labels = mode.type === 'Kubernetes' ? mode.namespaces.get(gatewayNamespace) : undefined;
    return labels !== undefined && selector !== undefined && selects(selector, labels);
  }
  return from === 'All' || policyNamespace === gatewayNamespace;
}
