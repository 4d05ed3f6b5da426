/**
 * The same world as objects for the API server, so that Envoy Gateway does what a machine's own Envoy configuration says: a world of resources and what is
 * known about the cluster come in; out come objects, derived Secrets, a policy for each set of Gateways, statuses and problems. Pure, and it never throws for
 * what a user wrote.
 */
import type { GatewayPolicy } from '../../contract/policy.ts';
import { attachRoutes } from '../attach.ts';
import { type LinkedBackend, linkBackends } from '../backends.ts';
import { catalogOf } from '../catalog.ts';
import { clusterDoors } from '../doors.ts';
import { entriesOf, type LinkedEntry } from '../entries.ts';
import { reportEntries } from '../entry-problems.ts';
import { withinBounds } from '../namespace-bounds.ts';
import { gatewayPolicy } from '../policy.ts';
import { linkPolicies } from '../quotas.ts';
import { compare, fullName, newReport } from '../report.ts';
import { targetIds } from '../route-ids.ts';
import { linkRoutes } from '../routes.ts';
import type { Site } from '../site.ts';
import { statusesOf } from '../statuses.ts';
import { backendObjects } from './backends.ts';
import type { ClusterOptions, ClusterPlan, ClusterWorld, Manifest } from './plan.ts';
import { extprocObjects, notReadyObject, trafficObject } from './policies.ts';
import { withRetries } from './retries.ts';
import { byHttpRoute, type EntryRoutes, entryNamespace, entryRoutes } from './routes.ts';

export function translateCluster(world: ClusterWorld, options: ClusterOptions): ClusterPlan {
  const site: Site = { type: 'Cluster', reach: options.reach, namespaces: world.namespaces, services: world.services };
  const report = newReport();
  const catalog = catalogOf(world);
  const doors = clusterDoors(world.gateways);
  const backends = linkBackends(world.backends, catalog, site, report);
  const routes = linkRoutes(world.routes, backends, catalog, targetIds(options.routeSecret), report);
  const attachments = withinBounds(attachRoutes(routes, doors, catalog, site, report), report);
  const policies = linkPolicies(world.quotaPolicies, doors, routes, catalog, report);
  const entries = entriesOf(doors, attachments, policies, site);
  reportEntries(entries, policies, report);
  const inUse = used(entries, backends).flatMap((linked) =>
    linked.usable === undefined ? [] : [{ linked, ...backendObjects(linked, linked.usable) }],
  );
  const around = {
    site,
    catalog,
    trafficPolicies: world.trafficPolicies,
    clientPolicies: world.clientPolicies,
    routes: new Map(routes.map(({ name, route }) => [name, route.metadata])),
    backends: new Map(inUse.map(({ linked, rule }) => [linked.name, { metadata: linked.backend.metadata, rule }])),
  };
  const made = entries.map((entry) => entryRoutes(entry, around));
  const routeNames = new Map(
    made.map(({ entry, generated }) => [entry, generated.flatMap((each) => each.envoyRouteNames)]),
  );
  return {
    objects: [
      ...made.flatMap(({ objects }) => objects),
      ...inUse.flatMap(({ objects }) => objects),
      ...shared(made, site, options),
    ].toSorted(byIdentity),
    secrets: inUse.flatMap(({ secrets }) => secrets).toSorted((left, right) => byName(left.metadata, right.metadata)),
    statuses: withRetries(statusesOf(backends, attachments, policies, entries, site, report), entries, around),
    problems: report.sorted(),
    gateways: [...new Set(entries.map(({ door }) => fullName(door.gateway)))].toSorted(compare),
    generatedRoutes: made.flatMap(({ generated }) => generated).toSorted(byHttpRoute),
    policyFor(gateways): GatewayPolicy {
      const served = new Set(gateways);
      const own = entries.filter(({ door }) => served.has(fullName(door.gateway)));
      return gatewayPolicy(own, (entry) => routeNames.get(entry) ?? [], [], used(own, backends), policies);
    },
  };
}

/** A key stays where it is until a route leads to its backend. */
function used(entries: readonly LinkedEntry[], backends: readonly LinkedBackend[]): readonly LinkedBackend[] {
  const names = new Set(entries.flatMap(({ targets }) => targets.map(({ target }) => target.backend)));
  return backends.filter(({ name }) => names.has(name));
}

/** One of each for a namespace. */
function shared(made: readonly EntryRoutes[], site: Site, options: ClusterOptions): readonly Manifest[] {
  const namespaces = new Set(made.flatMap(({ objects }) => objects.map(({ metadata }) => metadata.namespace)));
  const entries = new Set(made.map(({ entry }) => entryNamespace(entry, site)));
  const traffic = new Map(
    made
      .flatMap((each) => each.traffic)
      .map(({ namespace, traffic: own }) => [`${namespace} ${own.name}`, trafficObject(namespace, own)]),
  );
  return [
    ...[...namespaces].flatMap((namespace) => extprocObjects(namespace, options)),
    ...[...entries].map(notReadyObject),
    ...traffic.values(),
  ];
}

function byIdentity(left: Manifest, right: Manifest): number {
  return compare(left.kind, right.kind) || byName(left.metadata, right.metadata);
}

function byName(left: Manifest['metadata'], right: Manifest['metadata']): number {
  return compare(left.namespace, right.namespace) || compare(left.name, right.name);
}
