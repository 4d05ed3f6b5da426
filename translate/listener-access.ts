/** Decides which namespaces may attach routes to a listener (`allowedRoutes`). */
import type { LabelSelector } from '../crds/gateway-api.ts';
import { GATEWAY_GROUP, GROUP } from '../crds/schema.ts';
import type { Door } from './doors.ts';
import type { Site } from './site.ts';

export function allows({ gateway, listener }: Door, namespace: string, site: Site): boolean {
  const { namespaces, kinds } = listener.allowedRoutes ?? {};
  if (kinds !== undefined && !kinds.some(({ group, kind }) => isServed(group, kind, site))) {
    return false;
  }
  const from = namespaces?.from ?? 'Same';
  if (from === 'Selector' && site.type === 'Cluster') {
    const labels = site.namespaces.get(namespace);
    return labels !== undefined && namespaces?.selector !== undefined && selects(namespaces.selector, labels);
  }
  return from === 'All' || (from === 'Same' && gateway.metadata.namespace === namespace);
}

/** In a cluster, routes are generated as HTTPRoutes, so the listener must allow those. */
function isServed(group: string, kind: string, site: Site): boolean {
  if (group === GATEWAY_GROUP) {
    return kind === 'HTTPRoute';
  }
  return site.type === 'Machine' && group === GROUP && kind === 'AIGatewayRoute';
}

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
