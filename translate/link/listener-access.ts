/** Decides which namespaces may attach routes to a listener (`allowedRoutes`). */
import type { LabelSelector } from '../../crds/gateway-api.ts';
import { GATEWAY_GROUP, GROUP } from '../../crds/schema.ts';
import type { DeploymentMode } from '../deployment-mode.ts';
import type { GatewayListener } from './listeners.ts';

/** Returns whether routes of a namespace may attach to a listener. */
export function allows({ gateway, spec }: GatewayListener, namespace: string, mode: DeploymentMode): boolean {
  const { namespaces, kinds } = spec.allowedRoutes ?? {};
  if (kinds !== undefined && !kinds.some(({ group, kind }) => isServed(group, kind, mode))) {
    return false;
  }
  const from = namespaces?.from ?? 'Same';
  if (from === 'Selector' && mode.type === 'Kubernetes') {
    const labels = mode.namespaces.get(namespace);
    return labels !== undefined && namespaces?.selector !== undefined && selects(namespaces.selector, labels);
  }
  return from === 'All' || (from === 'Same' && gateway.metadata.namespace === namespace);
}

/** In a cluster, routes are generated as HTTPRoutes, so the listener must allow those. */
function isServed(group: string, kind: string, mode: DeploymentMode): boolean {
  if (group === GATEWAY_GROUP) {
    return kind === 'HTTPRoute';
  }
  return mode.type === 'Standalone' && group === GROUP && kind === 'AIGatewayRoute';
}

/** Returns whether a label selector matches. */
export function selects(
  { matchLabels, matchExpressions }: LabelSelector,
  labels: Readonly<Record<string, string>>,
): boolean {
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values }) => {
      const value = labels[key];
      switch (operator) {
        case 'Exists':
          return value !== undefined;
        case 'DoesNotExist':
          return value === undefined;
        case 'In':
          return value !== undefined && values.includes(value);
        default:
          return value === undefined || !values.includes(value);
      }
    })
  );
}
