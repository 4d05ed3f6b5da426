/** Attaches routes to listeners: for each parentRef, the listeners and host names where the route is served. */
import type { ParentRef } from '../crds/route.ts';
import { absence, type Catalog } from './catalog.ts';
import type { Door } from './doors.ts';
import { covers, intersection } from './hostnames.ts';
import { allows } from './listener-access.ts';
import { compare, type Report, subject } from './report.ts';
import type { LinkedRoute } from './routes.ts';
import type { Site } from './site.ts';

export interface Attachment {
  readonly route: LinkedRoute;
  readonly parentRef: ParentRef;
  /** Why the route is not served by this parent. */
  readonly refused?:
    | 'Invalid'
    | 'NoMatchingParent'
    | 'NotAllowedByListeners'
    | 'NoMatchingListenerHostname'
    | 'PolicyTooLarge';
  readonly places: readonly Place[];
}

interface Place {
  readonly door: Door;
  readonly hostname: string;
}

export function attachRoutes(
  routes: readonly LinkedRoute[],
  doors: readonly Door[],
  catalog: Catalog,
  site: Site,
  report: Report,
): readonly Attachment[] {
  return routes.flatMap((route) =>
    route.route.spec.parentRefs.map((parentRef, index) =>
      attach(route, parentRef, index, doors, catalog, site, report),
    ),
  );
}

function attach(
  route: LinkedRoute,
  parentRef: ParentRef,
  index: number,
  doors: readonly Door[],
  catalog: Catalog,
  site: Site,
  report: Report,
): Attachment {
  const { metadata, spec } = route.route;
  const namespace = parentRef.namespace ?? metadata.namespace;
  const refuse = (refused: NonNullable<Attachment['refused']>, message: string, fix: string): Attachment => {
    report.error(subject('AIGatewayRoute', route.route), {
      reason: refused,
      path: `spec.parentRefs[${index}]`,
      message,
      fix,
    });
    return { route, parentRef, refused, places: [] };
  };
  if (!route.valid) {
    return { route, parentRef, refused: 'Invalid', places: [] };
  }
  const named = doors.filter(
    ({ gateway, listener }) =>
      gateway.metadata.name === parentRef.name &&
      gateway.metadata.namespace === namespace &&
      (parentRef.sectionName === undefined || listener.name === parentRef.sectionName) &&
      (parentRef.port === undefined || listener.port === parentRef.port),
  );
  if (named.length === 0) {
    const gateway = catalog.gateway(namespace, parentRef.name);
    if (gateway === undefined) {
      const { message, fix } = absence(catalog, 'Gateway', namespace, parentRef.name);
      return refuse('NoMatchingParent', message, fix);
    }
    const listeners = gateway.spec.listeners.map(({ name }) => name).join(', ');
    const gatewayName = `Gateway ${namespace}/${parentRef.name}`;
    if (site.type === 'Machine') {
      const message = `${gatewayName} has no usable listener with this name and port`;
      return refuse('NoMatchingParent', message, `use one of ${listeners}, and fix the problems of the Gateway`);
    }
    const message = `${gatewayName} has no HTTP or HTTPS listener with this name and port`;
    const fix = listeners === '' ? 'add an HTTP or HTTPS listener to the Gateway' : `use one of ${listeners}`;
    return refuse('NoMatchingParent', message, fix);
  }
  const allowing = named.filter((door) => allows(door, metadata.namespace, site));
  if (allowing.length === 0) {
    const message = `no listener of Gateway ${namespace}/${parentRef.name} allows AIGatewayRoutes from namespace ${metadata.namespace}`;
    return refuse(
      'NotAllowedByListeners',
      message,
      site.type === 'Machine'
        ? 'set allowedRoutes.namespaces.from of a listener to All'
        : `allow HTTPRoutes from namespace ${metadata.namespace} in allowedRoutes of a listener`,
    );
  }
  const places = allowing.flatMap((door) =>
    (spec.hostnames ?? ['*'])
      .map((hostname) => intersection(door.hostname, hostname))
      .filter((hostname) => hostname !== undefined)
      .filter((hostname) => !belongsElsewhere(door, hostname, doors, site))
      .map((hostname): Place => ({ door, hostname })),
  );
  if (places.length === 0) {
    const message = `no host name of the route matches a listener of Gateway ${namespace}/${parentRef.name}`;
    return refuse('NoMatchingListenerHostname', message, 'correct the host names of the route or of the listener');
  }
  const unique = new Map(places.map((place) => [`${place.door.key} ${place.hostname}`, place]));
  return {
    route,
    parentRef,
    places: [...unique.values()].toSorted((left, right) => compare(left.hostname, right.hostname)),
  };
}

/**
 * Returns whether another listener of the port has a more specific host name. That listener gets the
 * requests, even if it has no route for them.
 */
function belongsElsewhere(door: Door, hostname: string, doors: readonly Door[], site: Site): boolean {
  return doors.some(
    (other) =>
      other !== door &&
      other.listener.port === door.listener.port &&
      // Standalone, all Gateways share the ports of the machine; in a cluster each has separate proxies.
      (site.type === 'Machine' || other.gateway === door.gateway) &&
      other.hostname !== door.hostname &&
      covers(door.hostname, other.hostname) &&
      covers(other.hostname, hostname),
  );
}
