/**
 * Translates the same world into objects for the API server, so that Envoy Gateway configures what
 * the standalone Envoy configuration contains. Returns objects, derived Secrets, a policy per set
 * of Gateways, statuses and problems. Pure. Never throws because of user input.
 */
import type { GatewayPolicy } from '../../contract/policy.ts';
import { newContext } from '../context.ts';
import type { DeploymentMode } from '../deployment-mode.ts';
import { jwksSources } from '../link/access-in-use.ts';
import { type LinkedBackend, wantedTokens } from '../link/backends.ts';
import { corsOf } from '../link/cors.ts';
import { detectorSecretsInUse } from '../link/guardrails.ts';
import { link } from '../link/link.ts';
import { kubernetesListeners } from '../link/listeners.ts';
import { webhooksInUse } from '../link/quotas.ts';
import { targetIds } from '../link/route-ids.ts';
import type { LinkedVirtualHost } from '../link/virtual-hosts.ts';
import { byName, compare, fullName } from '../object-names.ts';
import { gatewayPolicy } from '../policy.ts';
import { statusesOf } from '../statuses.ts';
import { attemptRouteObjects, attemptsOf, patchesOf } from './attempts.ts';
import { backendObjects } from './backends.ts';
import { entryNamespace } from './entry-namespace.ts';
import { withFailover, withPatchedRules } from './failover.ts';
import { withLogins } from './login-conflicts.ts';
import type { ClusterOptions, ClusterPlan, ClusterWorld, Manifest } from './plan.ts';
import { extprocObjects, notReadyBackend, notReadyObject, trafficObject } from './policies.ts';
import { withRetries } from './retries.ts';
import { byHttpRoute, type VirtualHostObjects, virtualHostObjects } from './routes.ts';
import { withClientPolicies } from './user-policies.ts';

export function translateCluster(world: ClusterWorld, options: ClusterOptions): ClusterPlan {
  const mode = deploymentMode(world, options);
  const context = newContext(world, mode);
  const listeners = withClientPolicies(kubernetesListeners(world.gateways), {
    mode,
    resources: context.resources,
    clientPolicies: world.clientPolicies,
  });
  const linked = link(world, listeners, targetIds(options.routeSecret), context);
  const { backends, routes, policies, virtualHosts } = linked;
  const inUse = backendsInUse(virtualHosts, backends).flatMap((backend) =>
    backend.usable === undefined ? [] : [{ linked: backend, ...backendObjects(backend, backend.usable) }],
  );
  const routeContext = {
    mode,
    resources: context.resources,
    trafficPolicies: world.trafficPolicies,
    clientPolicies: world.clientPolicies,
    securityPolicies: world.securityPolicies,
    routes: new Map(routes.map(({ name, route }) => [name, route.metadata])),
    backends: new Map(inUse.map(({ linked: { name, backend }, rule }) => [name, { metadata: backend.metadata, rule }])),
  };
  const generated = virtualHosts.map((virtualHost) => virtualHostObjects(virtualHost, routeContext));
  const attempts = attemptsOf(virtualHosts, routeContext);
  const attemptRoutes = attemptRouteObjects(attempts);
  const generatedRoutes = [
    ...generated.flatMap((each) => each.generated.map((route) => ({ virtualHost: each.virtualHost, route }))),
    ...attemptRoutes.map((each) => ({ virtualHost: each.virtualHost, route: each.generated })),
  ];
  const routesByHost = Map.groupBy(generatedRoutes, ({ virtualHost }) => virtualHost.key);
  return {
    objects: [
      ...generated.flatMap(({ objects }) => objects),
      ...inUse.flatMap(({ objects }) => objects),
      ...namespaceObjects(generated, attemptRoutes, mode, options),
      ...attemptRoutes.map(({ object }) => object),
      ...patchesOf(attempts),
    ].toSorted(byIdentity),
    secrets: inUse.flatMap(({ secrets }) => secrets).toSorted(byName),
    jwksSources: jwksSources(virtualHosts, policies),
    wantedTokens: wantedTokens(backends),
    webhooks: webhooksInUse(virtualHosts, policies),
    statuses: withFailover(
      withLogins(withRetries(statusesOf(linked, context), virtualHosts, routeContext), virtualHosts, routeContext),
      virtualHosts,
      attempts,
      world.patchPolicies,
    ),
    problems: context.diagnostics.sorted(),
    gateways: [...new Set(virtualHosts.map(({ listener }) => fullName(listener.gateway)))].toSorted(compare),
    generatedRoutes: generatedRoutes.map(({ route }) => route).toSorted(byHttpRoute),
    policyFor(gateways): GatewayPolicy {
      const served = servedBy(gateways, virtualHosts);
      return gatewayPolicy({
        virtualHosts: served.map((virtualHost) => withPatchedRules(virtualHost, attempts, world.patchPolicies)),
        routeNames: ({ key }) => (routesByHost.get(key) ?? []).flatMap(({ route }) => route.envoyRouteNames),
        unmatched: [],
        backends: backendsInUse(served, backends),
        policies,
      });
    },
    detectorSecretsFor: (gateways) => detectorSecretsInUse(servedBy(gateways, virtualHosts), policies),
  };
}

function servedBy(
  gateways: readonly string[],
  virtualHosts: readonly LinkedVirtualHost[],
): readonly LinkedVirtualHost[] {
  const names = new Set(gateways);
  return virtualHosts.filter(({ listener }) => names.has(fullName(listener.gateway)));
}

function deploymentMode(world: ClusterWorld, options: ClusterOptions): DeploymentMode {
  return {
    type: 'Kubernetes',
    reach: options.reach,
    identityNamespaces: options.identityNamespaces,
    sharesQuotas: options.sharesQuotas,
    hasPatchPolicies: world.patchPolicies.unavailable === undefined,
    namespaces: world.namespaces,
    services: world.services,
  };
}

/** Returns the backends that targets refer to. The key of any other backend is not copied. */
function backendsInUse(
  virtualHosts: readonly LinkedVirtualHost[],
  backends: readonly LinkedBackend[],
): readonly LinkedBackend[] {
  const names = new Set(virtualHosts.flatMap(({ targets }) => targets.map(({ target }) => target.backend)));
  return backends.filter(({ name }) => names.has(name));
}

/** Returns the objects that exist once per namespace. */
function namespaceObjects(
  generated: readonly VirtualHostObjects[],
  attemptRoutes: ReturnType<typeof attemptRouteObjects>,
  mode: DeploymentMode,
  options: ClusterOptions,
): readonly Manifest[] {
  const namespaces = new Set(generated.flatMap(({ objects }) => objects.map(({ metadata }) => metadata.namespace)));
  const entryNamespaces = new Set(generated.map(({ virtualHost }) => entryNamespace(virtualHost, mode)));
  const notReadyNamespaces = new Set([
    ...generated
      .filter(({ virtualHost }) => corsOf(virtualHost) !== undefined)
      .map(({ virtualHost }) => entryNamespace(virtualHost, mode)),
    ...attemptRoutes.map(({ object }) => object.metadata.namespace),
  ]);
  const traffic = new Map(
    generated
      .flatMap((each) => each.traffic)
      .map(({ namespace, traffic: settings }) => [`${namespace} ${settings.name}`, trafficObject(namespace, settings)]),
  );
  return [
    ...[...namespaces].flatMap((namespace) => extprocObjects(namespace, options)),
    ...[...entryNamespaces].map(notReadyObject),
    ...[...notReadyNamespaces].map(notReadyBackend),
    ...traffic.values(),
  ];
}

function byIdentity(left: Manifest, right: Manifest): number {
  return (
    compare(left.kind, right.kind) ||
    compare(left.metadata.namespace, right.metadata.namespace) ||
    compare(left.metadata.name, right.metadata.name)
  );
}
