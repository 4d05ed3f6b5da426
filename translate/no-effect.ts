/**
 * Standalone warnings about valid resources without effect: Gateways of another class, listeners
 * without a route, host names that no listener serves.
 */

import { type Diagnostics, subject } from './diagnostics.ts';
import { intersection } from './link/hostnames.ts';
import type { GatewayListener } from './link/listeners.ts';
import type { RouteAttachment } from './link/route-attachment.ts';
import type { LinkedRoute } from './link/routes.ts';
import type { Gateway, Located } from './world.ts';

/** The GatewayClass of the examples and the chart. */
const OWN_CLASS = 'tallygate';

export function reportNoEffect(
  gateways: readonly Located<Gateway>[],
  listeners: readonly GatewayListener[],
  attachments: readonly RouteAttachment[],
  diagnostics: Diagnostics,
): void {
  for (const gateway of gateways) {
    const { gatewayClassName } = gateway.spec;
    if (gatewayClassName === OWN_CLASS) {
      continue;
    }
    diagnostics.warning(subject('Gateway', gateway), {
      reason: 'ForeignClass',
      path: 'spec.gatewayClassName',
      message: `the GatewayClass is ${gatewayClassName}, not ${OWN_CLASS}: standalone mode serves the Gateway anyway, but in a cluster another controller may own it`,
      fix: `write ${OWN_CLASS}, or remove the Gateway`,
    });
  }
  const served = new Set(attachments.flatMap(({ places }) => places.map(({ listener }) => listener)));
  for (const listener of listeners) {
    if (served.has(listener)) {
      continue;
    }
    const index = listener.gateway.spec.listeners.indexOf(listener.spec);
    diagnostics.warning(subject('Gateway', listener.gateway), {
      reason: 'NothingAttached',
      path: `spec.listeners[${index}]`,
      message: `no AIGatewayRoute is attached to listener ${listener.spec.name}, so every request gets 404`,
      fix: 'attach an AIGatewayRoute by its parentRefs, or remove the listener',
    });
  }
  for (const [route, ofRoute] of Map.groupBy(attachments, (attachment) => attachment.route)) {
    if (ofRoute.some(({ refused }) => refused !== undefined)) {
      continue;
    }
    reportHostnames(
      route,
      ofRoute.flatMap(({ places }) => places.map(({ hostname }) => hostname)),
      diagnostics,
    );
  }
}

function reportHostnames({ route }: LinkedRoute, reached: readonly string[], diagnostics: Diagnostics): void {
  for (const [index, hostname] of (route.spec.hostnames ?? []).entries()) {
    if (reached.some((each) => intersection(each, hostname) !== undefined)) {
      continue;
    }
    diagnostics.warning(subject('AIGatewayRoute', route), {
      reason: 'NoMatchingListenerHostname',
      path: `spec.hostnames[${index}]`,
      message: `no listener of the route serves host name ${hostname}`,
      fix: 'correct the host name, or set it on a listener',
    });
  }
}
