/**
 * Generates HTTPRoutes. Each listener and host name has one entry route, which requests match first
 * and where extproc runs. Each backend of a route there has an HTTPRoute in the backend's
 * namespace, whose rules match the header that extproc sets.
 */
import { PROVIDER_HEADERS, ROUTE_HEADER } from '../../contract/headers.ts';
import type { Metadata } from '../../crds/kinds.ts';
import type { RouteCors } from '../../crds/route.ts';
import { GATEWAY_GROUP } from '../../crds/schema.ts';
import { corsOf } from '../link/cors.ts';
import type { LinkedTarget } from '../link/linked-target.ts';
import type { LinkedVirtualHost } from '../link/virtual-hosts.ts';
import { compare, fullName } from '../object-names.ts';
import type { JsonObject } from '../plan.ts';
import { type BackendRule, extensionFilter } from './backends.ts';
import { securityPolicies } from './browser-login.ts';
import { entryNamespace } from './entry-namespace.ts';
import {
  type Identity,
  labelled,
  labelValue,
  manifest,
  objectName,
  ownedBy,
  ROUTE_LABEL,
  TRAFFIC_LABEL,
} from './manifest.ts';
import type { GeneratedRoute, Manifest } from './plan.ts';
import { notReadyFilter, notReadyReference } from './policies.ts';
import { type Traffic, trafficOf } from './traffic.ts';
import { type UserPolicies, type UserPolicyContext, userPoliciesOf } from './user-policies.ts';

/** The limit of Gateway API. */
const MAX_HTTP_ROUTE_RULES = 16;

export interface VirtualHostObjects {
  readonly virtualHost: LinkedVirtualHost;
  readonly objects: readonly Manifest[];
  readonly generated: readonly GeneratedRoute[];
  readonly traffic: readonly { readonly namespace: string; readonly traffic: Traffic }[];
}

export function virtualHostObjects(virtualHost: LinkedVirtualHost, context: RouteContext): VirtualHostObjects {
  const groups = groupsOf(virtualHost, context);
  const entry = entryIdentity(virtualHost, entryNamespace(virtualHost, context.mode));
  const routes = [entryRoute(virtualHost, entry), ...groups.map((group) => targetRoute(virtualHost, group, context))];
  return {
    virtualHost,
    objects: [...routes.map(({ object }) => object), ...securityPolicies(virtualHost, entry, context)],
    generated: routes.map(({ generated }) => generated),
    traffic: groups,
  };
}

/** The context for the routes of all virtual hosts. */
export interface RouteContext extends UserPolicyContext {
  /** By `NAMESPACE/NAME`. */
  readonly routes: ReadonlyMap<string, Metadata>;
  /** By `NAMESPACE/NAME`: the backends in use. */
  readonly backends: ReadonlyMap<string, { readonly metadata: Metadata; readonly rule: BackendRule }>;
}

export interface RouteObject {
  readonly object: Manifest;
  readonly generated: GeneratedRoute;
}

const anyPath = { type: 'PathPrefix', value: '/' };

function entryIdentity(virtualHost: LinkedVirtualHost, namespace: string): Identity {
  const { gateway, spec } = virtualHost.listener;
  const { name } = gateway.metadata;
  return {
    namespace,
    name: objectName(`entry-${name}-${spec.name}`, `entry/${virtualHost.key}`),
    labels: { [ROUTE_LABEL]: 'entry' },
    owner: ownedBy('Gateway', gateway.metadata, namespace),
  };
}

function entryRoute(virtualHost: LinkedVirtualHost, identity: Identity): RouteObject {
  const cors = corsOf(virtualHost);
  const rule = {
    name: 'entry',
    matches: [{ path: anyPath }],
    // Envoy 1.40 ignores CORS on a route with a direct response.
    ...(cors === undefined
      ? { filters: [extensionFilter(notReadyFilter)] }
      : { filters: [corsFilter(cors)], backendRefs: [notReadyReference] }),
  };
  return generatedRoute(virtualHost, '', identity, [rule]);
}

function corsFilter({ exposeHeaders, ...cors }: RouteCors): JsonObject {
  return { type: 'CORS', cors: { ...cors, ...(exposeHeaders && { exposeHeaders }) } };
}

/** The targets of one HTTPRoute. */
interface TargetGroup {
  /** `NAMESPACE/NAME`. */
  readonly route: string;
  readonly namespace: string;
  readonly backend: string;
  /**
   * Distinguishes the groups of one route and backend. The first is always 0, even if its settings
   * change.
   */
  readonly number: number;
  readonly traffic: Traffic;
  readonly user: UserPolicies;
  readonly targets: readonly LinkedTarget[];
}

/**
 * An HTTPRoute never has two backends: Envoy Gateway names clusters by rule number, so while a rule
 * is being removed, a request could otherwise reach another provider under the old number.
 */
function groupsOf(virtualHost: LinkedVirtualHost, context: RouteContext): readonly TargetGroup[] {
  const user = userPoliciesOf(virtualHost.listener, context);
  const pairs = Map.groupBy(virtualHost.targets, ({ route, target }) => `${route} ${target.backend}`);
  return [...pairs.values()].flatMap((targets) => {
    const [first] = targets;
    const [namespace = '', backend = ''] = first?.target.backend.split('/') ?? [];
    const alike = new Map<string, { readonly traffic: Traffic; readonly targets: LinkedTarget[] }>();
    for (const target of targets) {
      const traffic = trafficOf(target, user);
      const group = alike.get(traffic.name) ?? { traffic, targets: [] };
      group.targets.push(target);
      alike.set(traffic.name, group);
    }
    return [...alike.values()]
      .flatMap((group) => chunks(group.targets, MAX_HTTP_ROUTE_RULES).map((chunk) => ({ ...group, targets: chunk })))
      .map((group, number) => ({ ...group, user, route: first?.route ?? '', namespace, backend, number }));
  });
}

function targetRoute(virtualHost: LinkedVirtualHost, group: TargetGroup, context: RouteContext): RouteObject {
  const { route, namespace, backend, number, traffic, user, targets } = group;
  const name = route.slice(route.indexOf('/') + 1);
  const [ofRoute, ofBackend] = [context.routes.get(route), context.backends.get(`${namespace}/${backend}`)];
  const identity = {
    namespace,
    name: objectName(`${name}-${backend}`, `target/${virtualHost.key} ${route} ${namespace}/${backend} ${number}`),
    labels: { [ROUTE_LABEL]: labelValue(name), [TRAFFIC_LABEL]: traffic.name },
    owner:
      (ofRoute && ownedBy('AIGatewayRoute', ofRoute, namespace)) ??
      (ofBackend && ownedBy('AIBackend', ofBackend.metadata, namespace)),
  };
  return generatedRoute(
    virtualHost,
    route,
    identity,
    targets.map((each) => targetRule(each, ofBackend?.rule, user)),
  );
}

function targetRule(
  { target, rule, timeouts }: LinkedTarget,
  backend: BackendRule | undefined,
  user: UserPolicies,
): JsonObject {
  const isUsers = user.traffic?.timeout?.http?.requestTimeout !== undefined;
  const request = timeouts?.request ?? (isUsers ? undefined : '0s');
  return {
    name: labelled(rule, target.id),
    matches: [{ path: anyPath, headers: [{ type: 'Exact', name: ROUTE_HEADER, value: target.id }] }],
    // Envoy's default is 15 s. A timeout on the rule overrides that of a policy.
    ...(request !== undefined && { timeouts: { request } }),
    filters: [
      ...(backend ? [backend.rewrite, backend.removal] : []),
      { type: 'ResponseHeaderModifier', responseHeaderModifier: { remove: PROVIDER_HEADERS } },
    ],
    backendRefs: backend ? [backend.backendRef] : [],
  };
}

export function generatedRoute(
  virtualHost: LinkedVirtualHost,
  route: string,
  identity: Parameters<typeof manifest>[1],
  rules: readonly JsonObject[],
): RouteObject {
  const { gateway, spec: listener } = virtualHost.listener;
  const { namespace, name } = gateway.metadata;
  const spec = {
    parentRefs: [{ group: GATEWAY_GROUP, kind: 'Gateway', namespace, name, sectionName: listener.name }],
    ...(virtualHost.hostname !== '*' && { hostnames: [virtualHost.hostname] }),
    rules,
  };
  const httpRoute = `${identity.namespace}/${identity.name}`;
  return {
    object: manifest('HTTPRoute', identity, { spec }),
    generated: {
      gateway: fullName(gateway),
      route,
      httpRoute,
      rules: rules.length,
      envoyRouteNames: rules.map((_, index) => envoyRouteName(httpRoute, index, virtualHost.hostname)),
    },
  };
}

/**
 * Returns the name that Envoy Gateway 1.9 gives the route of an HTTPRoute rule; extproc sees it in
 * `xds.route_name`.
 */
function envoyRouteName(httpRoute: string, rule: number, hostname: string): string {
  return `httproute/${httpRoute}/rule/${rule}/match/0/${hostname.replaceAll('.', '_')}`;
}

function chunks<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  );
}

export function byHttpRoute(left: GeneratedRoute, right: GeneratedRoute): number {
  return compare(left.httpRoute, right.httpRoute);
}
