/**
 * HTTPRoutes. Of each listener and host name one entry, where every request matches first and extproc runs; and for each backend of a route there an
 * HTTPRoute in the backend's namespace, whose rules match the header that extproc sets.
 */
import { CLIENT_HEADERS, PROVIDER_HEADERS, ROUTE_HEADER } from '../../contract/headers.ts';
import type { Metadata } from '../../crds/kinds.ts';
import { GATEWAY_GROUP } from '../../crds/schema.ts';
import type { LinkedEntry } from '../entries.ts';
import { allows } from '../listener-access.ts';
import type { JsonObject } from '../plan.ts';
import { compare, fullName } from '../report.ts';
import type { LinkedTarget } from '../routes.ts';
import type { Site } from '../site.ts';
import { type BackendRule, extensionFilter } from './backends.ts';
import {
  HEADERS_OF_A_FILTER,
  labelled,
  labelValue,
  manifest,
  objectName,
  ownedBy,
  ROUTE_LABEL,
  TRAFFIC_LABEL,
} from './manifest.ts';
import type { GeneratedRoute, Manifest } from './plan.ts';
import { notReadyFilter } from './policies.ts';
import { type Traffic, trafficOf } from './traffic.ts';
import { type PolicySurroundings, type UserPolicies, userPoliciesOf } from './user-policies.ts';

/** Of Gateway API. */
const rulesOfAnHttpRoute = 16;

export interface EntryRoutes {
  readonly entry: LinkedEntry;
  readonly objects: readonly Manifest[];
  readonly generated: readonly GeneratedRoute[];
  readonly traffic: readonly { readonly namespace: string; readonly traffic: Traffic }[];
}

export function entryRoutes(entry: LinkedEntry, around: Surroundings): EntryRoutes {
  const groups = groupsOf(entry, around);
  const made = [
    entryRoute(entry, entryNamespace(entry, around.site)),
    ...groups.map((group) => targetRoute(entry, group, around)),
  ];
  return {
    entry,
    objects: made.map(({ object }) => object),
    generated: made.map(({ generated }) => generated),
    traffic: groups,
  };
}

/** The Gateway's namespace; where its listener does not let that in, the one of the oldest route, which it does let in. */
export function entryNamespace({ door, routes }: LinkedEntry, site: Site): string {
  const { namespace } = door.gateway.metadata;
  return allows(door, namespace, site) ? namespace : (routes[0]?.route.metadata.namespace ?? namespace);
}

/** Of all entries. */
export interface Surroundings extends PolicySurroundings {
  /** By `NAMESPACE/NAME`. */
  readonly routes: ReadonlyMap<string, Metadata>;
  /** By `NAMESPACE/NAME`, all that a target names. */
  readonly backends: ReadonlyMap<string, { readonly metadata: Metadata; readonly rule: BackendRule }>;
}

interface Made {
  readonly object: Manifest;
  readonly generated: GeneratedRoute;
}

const anyPath = { type: 'PathPrefix', value: '/' };

function entryRoute(entry: LinkedEntry, namespace: string): Made {
  const { gateway, listener } = entry.door;
  const { name } = gateway.metadata;
  const identity = {
    namespace,
    name: objectName(`entry-${name}-${listener.name}`, `entry/${entry.key}`),
    labels: { [ROUTE_LABEL]: 'entry' },
    owner: ownedBy('Gateway', gateway.metadata, namespace),
  };
  const rule = { name: 'entry', matches: [{ path: anyPath }], filters: [extensionFilter(notReadyFilter)] };
  return made(entry, '', identity, [rule]);
}

/** The targets of one HTTPRoute. */
interface Group {
  /** `NAMESPACE/NAME`. */
  readonly route: string;
  readonly namespace: string;
  readonly backend: string;
  /** Tells the groups of one route and backend apart; the first has 0 also when its settings change. */
  readonly number: number;
  readonly traffic: Traffic;
  readonly user: UserPolicies;
  readonly targets: readonly LinkedTarget[];
}

/**
 * One HTTPRoute never holds two backends: Envoy Gateway calls clusters by the number of the rule, and while a rule goes away, a request on its way must not
 * meet another provider under the old number.
 */
function groupsOf(entry: LinkedEntry, around: Surroundings): readonly Group[] {
  const user = userPoliciesOf(entry.door, around);
  const pairs = Map.groupBy(entry.targets, ({ route, target }) => `${route} ${target.backend}`);
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
      .flatMap((group) => chunks(group.targets, rulesOfAnHttpRoute).map((own) => ({ ...group, targets: own })))
      .map((group, number) => ({ ...group, user, route: first?.route ?? '', namespace, backend, number }));
  });
}

function targetRoute(entry: LinkedEntry, group: Group, around: Surroundings): Made {
  const { route, namespace, backend, number, traffic, user, targets } = group;
  const name = route.slice(route.indexOf('/') + 1);
  const [ofRoute, ofBackend] = [around.routes.get(route), around.backends.get(`${namespace}/${backend}`)];
  const identity = {
    namespace,
    name: objectName(`${name}-${backend}`, `target/${entry.key} ${route} ${namespace}/${backend} ${number}`),
    labels: { [ROUTE_LABEL]: labelValue(name), [TRAFFIC_LABEL]: traffic.name },
    owner:
      (ofRoute && ownedBy('AIGatewayRoute', ofRoute, namespace)) ??
      (ofBackend && ownedBy('AIBackend', ofBackend.metadata, namespace)),
  };
  return made(
    entry,
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
    // Without any Envoy ends an answer after 15 s; one that stands here goes before a policy's.
    ...(request !== undefined && { timeouts: { request } }),
    filters: [
      ...(backend ? [backend.rewrite] : []),
      {
        type: 'RequestHeaderModifier',
        requestHeaderModifier: { remove: CLIENT_HEADERS.slice(0, HEADERS_OF_A_FILTER) },
      },
      { type: 'ResponseHeaderModifier', responseHeaderModifier: { remove: PROVIDER_HEADERS } },
    ],
    backendRefs: backend ? [backend.backendRef] : [],
  };
}

function made(
  entry: LinkedEntry,
  route: string,
  identity: Parameters<typeof manifest>[1],
  rules: readonly JsonObject[],
): Made {
  const { gateway, listener } = entry.door;
  const { namespace, name } = gateway.metadata;
  const spec = {
    parentRefs: [{ group: GATEWAY_GROUP, kind: 'Gateway', namespace, name, sectionName: listener.name }],
    ...(entry.hostname !== '*' && { hostnames: [entry.hostname] }),
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
      envoyRouteNames: rules.map((_, index) => envoyRouteName(httpRoute, index, entry.hostname)),
    },
  };
}

/** As Envoy Gateway 1.9 calls the routes that it makes of an HTTPRoute; extproc sees it in `xds.route_name`. */
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
