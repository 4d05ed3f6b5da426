/**
 * Attaches routes to listeners: for each parentRef, the listeners and host names where the route is
 * served.
 */
import type { ParentRef } from '../../crds/route.ts';
import type { TranslationContext } from '../context.ts';
import type { DeploymentMode } from '../deployment-mode.ts';
import { subject } from '../diagnostics.ts';
import { compare } from '../object-names.ts';
import { notFound } from '../resource-index.ts';
import { covers, intersection } from './hostnames.ts';
import { allows } from './listener-access.ts';
import type { GatewayListener } from './listeners.ts';
import type { LinkedRoute } from './routes.ts';

export interface RouteAttachment {
  readonly route: LinkedRoute;
  readonly parentRef: ParentRef;
  /** Why the route is not served by this parent. */
  readonly refused?:
    | 'Invalid'
    | 'NoMatchingParent'
    | 'NotAllowedByListeners'
    | 'NoMatchingListenerHostname'
    | 'PolicyTooLarge';
  readonly places: readonly AttachedHostname[];
}

export interface AttachedHostname {
  readonly listener: GatewayListener;
  readonly hostname: string;
}

/** The refusal of a parentRef. */
interface ParentRefusal {
  readonly reason: NonNullable<RouteAttachment['refused']>;
  readonly message: string;
  readonly fix: string;
}

export function attachRoutes(
  routes: readonly LinkedRoute[],
  listeners: readonly GatewayListener[],
  context: TranslationContext,
): readonly RouteAttachment[] {
  return routes.flatMap((route) =>
    route.route.spec.parentRefs.map((parentRef, index) => {
      if (!route.valid) {
        return { route, parentRef, refused: 'Invalid', places: [] };
      }
      const result = placesOf(route, parentRef, listeners, context);
      if (!('reason' in result)) {
        return { route, parentRef, places: result };
      }
      context.diagnostics.error(subject('AIGatewayRoute', route.route), {
        ...result,
        path: `spec.parentRefs[${index}]`,
      });
      return { route, parentRef, refused: result.reason, places: [] };
    }),
  );
}

function placesOf(
  { route: { metadata, spec } }: LinkedRoute,
  parentRef: ParentRef,
  listeners: readonly GatewayListener[],
  context: TranslationContext,
): readonly AttachedHostname[] | ParentRefusal {
  const { mode } = context;
  const namespace = parentRef.namespace ?? metadata.namespace;
  const gatewayName = `Gateway ${namespace}/${parentRef.name}`;
  const named = listeners.filter(
    (listener) =>
      listener.gateway.metadata.name === parentRef.name &&
      listener.gateway.metadata.namespace === namespace &&
      (parentRef.sectionName === undefined || listener.spec.name === parentRef.sectionName) &&
      (parentRef.port === undefined || listener.spec.port === parentRef.port),
  );
  if (named.length === 0) {
    return noMatchingParent(namespace, parentRef, context);
  }
  const allowing = named.filter((listener) => allows(listener, metadata.namespace, mode));
  if (allowing.length === 0) {
    return {
      reason: 'NotAllowedByListeners',
      message: `no listener of ${gatewayName} allows AIGatewayRoutes from namespace ${metadata.namespace}`,
      fix:
        mode.type === 'Standalone'
          ? 'set allowedRoutes.namespaces.from of a listener to All'
          : `allow HTTPRoutes from namespace ${metadata.namespace} in allowedRoutes of a listener`,
    };
  }
  const places = allowing.flatMap((listener) =>
    (spec.hostnames ?? ['*'])
      .map((hostname) => intersection(listener.hostname, hostname))
      .filter((hostname) => hostname !== undefined)
      .filter((hostname) => !belongsToOther(listener, hostname, listeners, mode))
      .map((hostname): AttachedHostname => ({ listener, hostname })),
  );
  if (places.length === 0) {
    return {
      reason: 'NoMatchingListenerHostname',
      message: `no host name of the route matches a listener of ${gatewayName}`,
      fix: 'correct the host names of the route or of the listener',
    };
  }
  const unique = new Map(places.map((place) => [`${place.listener.key} ${place.hostname}`, place]));
  return [...unique.values()].toSorted((left, right) => compare(left.hostname, right.hostname));
}

function noMatchingParent(
  namespace: string,
  parentRef: ParentRef,
  { mode, resources }: TranslationContext,
): ParentRefusal {
  const reason = 'NoMatchingParent';
  const gateway = resources.gateway(namespace, parentRef.name);
  if (gateway === undefined) {
    return { reason, ...notFound(resources, 'Gateway', namespace, parentRef.name) };
  }
  const names = gateway.spec.listeners.map(({ name }) => name).join(', ');
  if (mode.type === 'Standalone') {
    return {
      reason,
      message: `Gateway ${namespace}/${parentRef.name} has no usable listener with this name and port`,
      fix: `use one of ${names}, and fix the problems of the Gateway`,
    };
  }
  return {
    reason,
    message: `Gateway ${namespace}/${parentRef.name} has no HTTP or HTTPS listener with this name and port`,
    fix: names === '' ? 'add an HTTP or HTTPS listener to the Gateway' : `use one of ${names}`,
  };
}

/**
 * Returns whether another listener of the port has a more specific host name. That listener gets
 * the requests, even if it has no route for them.
 */
function belongsToOther(
  listener: GatewayListener,
  hostname: string,
  listeners: readonly GatewayListener[],
  mode: DeploymentMode,
): boolean {
  return listeners.some(
    (other) =>
      other !== listener &&
      other.spec.port === listener.spec.port &&
      // Standalone, all Gateways share the ports of the machine; in a cluster each has separate
      // proxies.
      (mode.type === 'Standalone' || other.gateway === listener.gateway) &&
      other.hostname !== listener.hostname &&
      covers(listener.hostname, other.hostname) &&
      covers(other.hostname, hostname),
  );
}
