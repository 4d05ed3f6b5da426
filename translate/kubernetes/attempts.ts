/**
 * Failover within a request: Envoy Gateway has no field for it, so EnvoyPatchPolicies add a cluster
 * for attempts at each backend, and replace the action of a generated route of each rule. Names
 * depend on the backends of a rule, so that a change of them makes another route and patch beside
 * those in use.
 */
import { CLIENT_HEADERS, PROVIDER_HEADERS, ROUTE_HEADER } from '../../contract/headers.ts';
import type { Metadata } from '../../crds/kinds.ts';
import { GATEWAY_GROUP } from '../../crds/schema.ts';
import { type AttemptTimeouts, attemptAction, attemptCluster } from '../envoy/attempts.ts';
import type { SecretSources } from '../envoy/clusters.ts';
import { opaque } from '../envoy/resource.ts';
import { type AttemptRoute, attemptRoutesOf } from '../link/attempt-routes.ts';
import type { UsableBackend } from '../link/backends.ts';
import type { LinkedTarget } from '../link/linked-target.ts';
import type { GatewayListener } from '../link/listeners.ts';
import type { LinkedVirtualHost } from '../link/virtual-hosts.ts';
import { attemptClusterName } from '../names.ts';
import { compare, fullName } from '../object-names.ts';
import type { JsonObject } from '../plan.ts';
import { credentialFilterName, credentialFilterOf, isServiceItself } from './backends.ts';
import { entryNamespace } from './entry-namespace.ts';
import { type Identity, labelled, labelValue, manifest, objectName, ownedBy, ROUTE_LABEL } from './manifest.ts';
import type { GeneratedRoute, Manifest } from './plan.ts';
import { notReadyReference, processorCluster } from './policies.ts';
import { generatedRoute, type RouteContext, type RouteObject } from './routes.ts';
import { idleTimeoutOf } from './traffic.ts';
import { userPoliciesOf } from './user-policies.ts';

/** The route of a rule to all its backends, and what makes Envoy try them. */
export interface RuleAttempts {
  /** `NAMESPACE/NAME` of the AIGatewayRoute. */
  readonly route: string;
  readonly rule: string;
  /** `AttemptRoutes.route`. */
  readonly id: string;
  readonly virtualHost: LinkedVirtualHost;
  readonly httpRoute: Manifest;
  readonly generated: GeneratedRoute;
  /** EnvoyPatchPolicies, all of which must be in force. */
  readonly patches: readonly Manifest[];
  /** Routes that keep the keys of its backends; other rules may have the same ones. */
  readonly keptKeys: readonly RouteObject[];
}

/** Returns what rules with failover need. */
export function attemptsOf(virtualHosts: readonly LinkedVirtualHost[], context: RouteContext): readonly RuleAttempts[] {
  const withAttempts = virtualHosts
    .map((virtualHost) => ({ virtualHost, routes: routesOf(virtualHost) }))
    .filter(({ routes }) => routes.length > 0);
  // A Gateway has one cluster for a backend, whose filter calls the processor of one namespace.
  const processors = new Map<string, string>();
  for (const { virtualHost } of withAttempts) {
    const [gateway, namespace] = [fullName(virtualHost.listener.gateway), entryNamespace(virtualHost, context.mode)];
    const other = processors.get(gateway);
    processors.set(gateway, other === undefined || compare(namespace, other) < 0 ? namespace : other);
  }
  return withAttempts.flatMap(({ virtualHost, routes }) => {
    const processor = processors.get(fullName(virtualHost.listener.gateway))!;
    return [...Map.groupBy(routes, ({ rule }) => rule).values()].map((ofRule) =>
      ruleAttempts(virtualHost, ofRule, processor, context),
    );
  });
}

/** Returns all generated routes, once each. */
export function attemptRouteObjects(
  attempts: readonly RuleAttempts[],
): readonly (RouteObject & Pick<RuleAttempts, 'virtualHost'>)[] {
  const routes = attempts.flatMap(({ virtualHost, httpRoute, generated, keptKeys }) =>
    [{ object: httpRoute, generated }, ...keptKeys].map((each) => ({ ...each, virtualHost })),
  );
  return [...new Map(routes.toReversed().map((each) => [fullName(each.object), each])).values()].toReversed();
}

/** Returns the EnvoyPatchPolicies, once each: rules share those of their backends. */
export function patchesOf(attempts: readonly RuleAttempts[]): readonly Manifest[] {
  const patches = attempts.flatMap((each) => each.patches);
  return [...new Map(patches.map((patch) => [fullName(patch), patch])).values()];
}

/** Returns the routes, with the targets that the listener allows. */
function routesOf(virtualHost: LinkedVirtualHost): readonly AttemptRoute[] {
  const allowed = new Set(virtualHost.targets.map(({ target }) => target.id));
  return attemptRoutesOf(virtualHost)
    .map((route) => ({ ...route, targets: route.targets.filter(({ target }) => allowed.has(target.id)) }))
    .filter(({ targets }) => targets.length > 1);
}

function ruleAttempts(
  virtualHost: LinkedVirtualHost,
  routes: readonly AttemptRoute[],
  processor: string,
  context: RouteContext,
): RuleAttempts {
  const [{ id, rule, targets }] = routes as readonly [AttemptRoute];
  const { listener } = virtualHost;
  const { gateway } = listener;
  const namespace = entryNamespace(virtualHost, context.mode);
  const route = targets[0]!.route;
  const stem = `${nameOf(route)}-${rule.name}`;
  const key = `attempts/${virtualHost.key} ${id}`;
  const ofRoute = context.routes.get(route);
  const identity = {
    namespace,
    name: objectName(stem, key),
    labels: { [ROUTE_LABEL]: labelValue(nameOf(route)) },
    owner: ofRoute && ownedBy('AIGatewayRoute', ofRoute, namespace),
  };
  const { object, generated } = generatedRoute(virtualHost, route, identity, routes.map(unpatchedRule));
  const { traffic, client } = userPoliciesOf(listener, context);
  const http = traffic?.timeout?.http;
  const timeouts = {
    request: rule.timeouts?.request ?? textOf(http?.requestTimeout) ?? '0s',
    idle: idleTimeoutOf(rule.timeouts, { traffic, client }),
  };
  const patched = routes.map((each, index) => routePatch(listener, generated.envoyRouteNames[index]!, each, timeouts));
  const backends = new Map(targets.map((each) => [each.target.backend, each.backend]));
  return {
    route,
    rule: rule.name,
    id,
    virtualHost,
    httpRoute: object,
    generated,
    patches: [
      ...[...backends].map(([name, backend]) => clusterPatch(name, backend, gateway.metadata, processor)),
      patchPolicy(gateway.metadata, objectName(stem, key), patched),
    ],
    keptKeys: targets.filter(needsKeptKey).map((target) => keptKey(virtualHost, target, context)),
  };
}

/**
 * Envoy Gateway serves the key of a backend only while its Service has pods. Without the key, the
 * cluster for attempts never becomes ready, and a request to it fails instead of going on.
 */
function needsKeptKey({ target, backend: { endpoint, credential } }: LinkedTarget): boolean {
  return credential !== undefined && isServiceItself(target.backend, endpoint);
}

/** A route that no request reaches, and whose backend always exists, so that its key is served. */
function keptKey(virtualHost: LinkedVirtualHost, { target, route }: LinkedTarget, context: RouteContext) {
  const [namespace = ''] = target.backend.split('/');
  const backend = context.backends.get(target.backend);
  const identity = {
    namespace,
    name: objectName(`${nameOf(target.backend)}-key`, `key/${virtualHost.key} ${target.backend}`),
    labels: { [ROUTE_LABEL]: labelValue(nameOf(route)) },
    owner: backend && ownedBy('AIBackend', backend.metadata, namespace),
  };
  const header = { type: 'Exact', name: ROUTE_HEADER, value: `${target.id}/key` };
  const unused = {
    name: 'key',
    matches: [{ path: { type: 'PathPrefix', value: '/' }, headers: [header] }],
    backendRefs: [{ ...notReadyReference, filters: [credentialFilterOf(target.backend)] }],
  };
  return generatedRoute(virtualHost, route, identity, [unused]);
}

/** A rule whose requests go nowhere until the patch is in force. */
function unpatchedRule({ id, rule }: AttemptRoute): JsonObject {
  return {
    name: labelled(rule.name, id),
    matches: [
      { path: { type: 'PathPrefix', value: '/' }, headers: [{ type: 'Exact', name: ROUTE_HEADER, value: id }] },
    ],
    filters: [{ type: 'ResponseHeaderModifier', responseHeaderModifier: { remove: PROVIDER_HEADERS } }],
    backendRefs: [notReadyReference],
  };
}

/** One operation replaces the whole action, because Envoy Gateway checks the route after each. */
function routePatch(
  listener: GatewayListener,
  routeName: string,
  route: AttemptRoute,
  timeouts: AttemptTimeouts,
): JsonObject {
  // Envoy Gateway 1.9 does not know the type of the cluster specifier.
  const action = { ...attemptAction(route, timeouts, opaque), upgrade_configs: [{ upgrade_type: 'none' }] };
  return {
    type: 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
    name: routeConfigurationName(listener),
    operation: {
      op: 'replace',
      jsonPath: `$.virtual_hosts[*].routes[?(@.name == '${routeName}')]`,
      path: '/route',
      value: action,
    },
  };
}

/** Envoy Gateway 1.9 names the routes of a port after its first HTTP listener. */
function routeConfigurationName({ key, gateway, spec }: GatewayListener): string {
  const first = gateway.spec.listeners.find(
    ({ protocol, port }) => spec.protocol === 'HTTP' && protocol === 'HTTP' && port === spec.port,
  );
  return first === undefined ? key : `${fullName(gateway)}/${first.name}`;
}

function clusterPatch(name: string, backend: UsableBackend, gateway: Metadata, processor: string): Manifest {
  const cluster = attemptCluster(name, backend, {
    sources: discovered,
    // The default is the name of the cluster, which is not valid: it has slashes.
    processor: { cluster_name: processorCluster(processor), authority: 'extproc' },
    removedHeaders: CLIENT_HEADERS,
  });
  const patch = {
    type: 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
    name: attemptClusterName(name),
    operation: { op: 'add', path: '', value: cluster },
  };
  const key = `attempts/${gateway.name} ${name}`;
  return patchPolicy(gateway, objectName(`attempts-${nameOf(name)}`, key), [patch]);
}

function patchPolicy(gateway: Metadata, name: string, jsonPatches: readonly JsonObject[]): Manifest {
  const { namespace } = gateway;
  const identity: Identity = { namespace, name, owner: ownedBy('Gateway', gateway, namespace) };
  const targetRef = { group: GATEWAY_GROUP, kind: 'Gateway', name: gateway.name };
  return manifest('EnvoyPatchPolicy', identity, { spec: { targetRef, type: 'JSONPatch', jsonPatches } });
}

/** Secrets that Envoy Gateway serves for the backend's other generated routes. */
const discovered: SecretSources = {
  credential: (backend) => ({
    name: `credential_injector/credential/httproutefilter/${credentialFilterName(backend)}`,
    sds_config: { ads: {}, resource_api_version: 'V3' },
  }),
  authorities: (_, caBundle, names) => ({
    validation_context: {
      trusted_ca: caBundle === undefined ? { filename: SYSTEM_CAS } : { inline_string: caBundle.reveal() },
      ...names,
    },
  }),
};

/** In the image of Envoy's proxy. */
const SYSTEM_CAS = '/etc/ssl/certs/ca-certificates.crt';

function nameOf(fullName: string): string {
  return fullName.slice(fullName.indexOf('/') + 1);
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
