/** Reads how Envoy Gateway judges a generated object. */

export const ENVOY_GATEWAY = 'gateway.envoyproxy.io/gatewayclass-controller';

/** Why an object may not be in force. */
export interface GatewayVerdict {
  readonly reason: 'NotAccepted' | 'NotEnforceable' | 'Overridden' | 'Pending';
  readonly message: string;
}

interface ConditionObject {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
  readonly observedGeneration?: number;
}

interface StatusEntry {
  readonly controllerName?: string;
  readonly parentRef?: GatewayReference;
  readonly ancestorRef?: GatewayReference;
  readonly conditions?: readonly ConditionObject[];
}

interface GatewayReference {
  readonly kind?: string;
  readonly namespace?: string;
  readonly name: string;
}

export interface JudgedObject {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string; readonly generation?: number };
  readonly status?: { readonly parents?: readonly StatusEntry[]; readonly ancestors?: readonly StatusEntry[] };
}

/**
 * Judges the object as a part of the Gateway (`NAMESPACE/NAME`); undefined: accepted and in force.
 */
export function verdictOf(object: JudgedObject, gateway: string): GatewayVerdict | undefined {
  const what = `${object.kind} ${object.metadata.namespace}/${object.metadata.name}`;
  const entries = [...(object.status?.parents ?? []), ...(object.status?.ancestors ?? [])].filter(
    ({ controllerName, parentRef, ancestorRef }) =>
      controllerName === ENVOY_GATEWAY && isAbout(parentRef ?? ancestorRef, object.metadata.namespace, gateway),
  );
  const conditions = entries.flatMap((entry) => entry.conditions ?? []);
  const verdict = (reason: GatewayVerdict['reason'], { reason: theirs, message }: ConditionObject): GatewayVerdict => ({
    reason,
    message: `Envoy Gateway reports for ${what}: ${[theirs, message].filter(Boolean).join(': ')}${isOverridden(object, theirs) ? `; fix: ${fix}` : ''}`,
  });
  const refused = conditions.find(
    ({ type, status }) => ['Accepted', 'ResolvedRefs'].includes(type) && status === 'False',
  );
  if (refused !== undefined) {
    return verdict('NotAccepted', refused);
  }
  const overridden = conditions.find(({ type, status }) => type === 'Overridden' && status === 'True');
  if (overridden !== undefined) {
    return verdict('Overridden', overridden);
  }
  const accepted = conditions.find(({ type, status }) => type === 'Accepted' && status === 'True');
  if (accepted === undefined) {
    return { reason: 'Pending', message: `Envoy Gateway has not yet judged ${what}` };
  }
  return undefined;
}

/** A policy without a verdict counts as not refused. */
export function isRefused({ status }: Pick<JudgedObject, 'status'>): boolean {
  const accepted = (status?.ancestors ?? [])
    .filter(({ controllerName }) => controllerName === ENVOY_GATEWAY)
    .flatMap(({ conditions = [] }) => conditions.filter(({ type }) => type === 'Accepted'));
  return accepted.length > 0 && accepted.every(({ status }) => status === 'False');
}

/** Only a policy of the same kind can override, one that is more specific or older. */
function isOverridden({ kind }: JudgedObject, reason: string | undefined): boolean {
  return kind === 'EnvoyExtensionPolicy' && (reason === 'Overridden' || reason === 'Conflicted');
}

const fix =
  'let your EnvoyExtensionPolicy target the Gateway instead of a generated HTTPRoute; it is then merged with this one, except for its extProc';

function isAbout(reference: GatewayReference | undefined, namespace: string, gateway: string): boolean {
  if (reference === undefined || (reference.kind ?? 'Gateway') !== 'Gateway') {
    return false;
  }
  return `${reference.namespace ?? namespace}/${reference.name}` === gateway;
}

/**
 * Judges a generated HTTPRoute at a Gateway, with the policy that adds the filter to all routes of
 * its namespace.
 */
export function verdictsIn(
  httpRoutes: ReadonlyMap<string, object>,
  extensionPolicies: ReadonlyMap<string, object>,
): (httpRoute: string, gateway: string) => GatewayVerdict | undefined {
  const policies = Map.groupBy([...extensionPolicies.values()] as JudgedObject[], ({ metadata }) => metadata.namespace);
  return (httpRoute, gateway) => {
    const route = httpRoutes.get(httpRoute) as JudgedObject | undefined;
    if (route === undefined) {
      return { reason: 'Pending', message: `HTTPRoute ${httpRoute} does not exist yet` };
    }
    const own = policies.get(route.metadata.namespace) ?? [];
    if (own.length === 0) {
      return { reason: 'Pending', message: `the EnvoyExtensionPolicy of ${httpRoute} does not exist yet` };
    }
    return verdictOf(route, gateway) ?? own.map((each) => verdictOf(each, gateway)).find((each) => each !== undefined);
  };
}
