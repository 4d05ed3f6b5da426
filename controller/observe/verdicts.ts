/** What Envoy Gateway says about an object that was written for it. */

const ENVOY_GATEWAY = 'gateway.envoyproxy.io/gatewayclass-controller';

/** Not enough to be sure that it is in force, and why. */
export interface Verdict {
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

interface Place {
  readonly controllerName?: string;
  readonly parentRef?: Reference;
  readonly ancestorRef?: Reference;
  readonly conditions?: readonly ConditionObject[];
}

interface Reference {
  readonly kind?: string;
  readonly namespace?: string;
  readonly name: string;
}

export interface JudgedObject {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string; readonly generation?: number };
  readonly status?: { readonly parents?: readonly Place[]; readonly ancestors?: readonly Place[] };
}

/** About the object as a part of that Gateway (`NAMESPACE/NAME`); undefined: accepted, and in force. */
export function verdictOf(object: JudgedObject, gateway: string): Verdict | undefined {
  const what = `${object.kind} ${object.metadata.namespace}/${object.metadata.name}`;
  const places = [...(object.status?.parents ?? []), ...(object.status?.ancestors ?? [])].filter(
    ({ controllerName, parentRef, ancestorRef }) =>
      controllerName === ENVOY_GATEWAY && isAbout(parentRef ?? ancestorRef, object.metadata.namespace, gateway),
  );
  const conditions = places.flatMap((place) => place.conditions ?? []);
  const say = (reason: Verdict['reason'], { reason: theirs, message }: ConditionObject): Verdict => ({
    reason,
    message: `Envoy Gateway says of ${what}: ${[theirs, message].filter(Boolean).join(': ')}${isPushedAside(object, theirs) ? `; fix: ${fix}` : ''}`,
  });
  const refused = conditions.find(
    ({ type, status }) => ['Accepted', 'ResolvedRefs'].includes(type) && status === 'False',
  );
  if (refused !== undefined) {
    return say('NotAccepted', refused);
  }
  const overridden = conditions.find(({ type, status }) => type === 'Overridden' && status === 'True');
  if (overridden !== undefined) {
    return say('Overridden', overridden);
  }
  const accepted = conditions.find(({ type, status }) => type === 'Accepted' && status === 'True');
  if (accepted === undefined) {
    return { reason: 'Pending', message: `Envoy Gateway has not yet judged ${what}` };
  }
  return undefined;
}

/** Of a policy that nobody has refused yet it is not known. */
export function isRefused({ status }: Pick<JudgedObject, 'status'>): boolean {
  const accepted = (status?.ancestors ?? [])
    .filter(({ controllerName }) => controllerName === ENVOY_GATEWAY)
    .flatMap(({ conditions = [] }) => conditions.filter(({ type }) => type === 'Accepted'));
  return accepted.length > 0 && accepted.every(({ status }) => status === 'False');
}

/** Only a policy of the same kind can do that, one that is closer to a route or older. */
function isPushedAside({ kind }: JudgedObject, reason: string | undefined): boolean {
  return kind === 'EnvoyExtensionPolicy' && (reason === 'Overridden' || reason === 'Conflicted');
}

const fix =
  'let your own EnvoyExtensionPolicy target the Gateway, where it is merged with this one (all but its extProc), instead of a generated HTTPRoute';

function isAbout(reference: Reference | undefined, namespace: string, gateway: string): boolean {
  if (reference === undefined || (reference.kind ?? 'Gateway') !== 'Gateway') {
    return false;
  }
  return `${reference.namespace ?? namespace}/${reference.name}` === gateway;
}

/** What holds against a generated HTTPRoute at a Gateway: its own status, and that of the policy that puts the filter on all routes of its namespace. */
export function verdictsIn(
  httpRoutes: ReadonlyMap<string, object>,
  extensionPolicies: ReadonlyMap<string, object>,
): (httpRoute: string, gateway: string) => Verdict | undefined {
  const policies = Map.groupBy([...extensionPolicies.values()] as JudgedObject[], ({ metadata }) => metadata.namespace);
  return (httpRoute, gateway) => {
    const route = httpRoutes.get(httpRoute) as JudgedObject | undefined;
    if (route === undefined) {
      return { reason: 'Pending', message: `HTTPRoute ${httpRoute} is not there yet` };
    }
    const own = policies.get(route.metadata.namespace) ?? [];
    if (own.length === 0) {
      return { reason: 'Pending', message: `the EnvoyExtensionPolicy of ${httpRoute} is not there yet` };
    }
    return verdictOf(route, gateway) ?? own.map((each) => verdictOf(each, gateway)).find((each) => each !== undefined);
  };
}
