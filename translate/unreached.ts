/** Warnings about what is right and yet serves nobody on this machine: Gateways of another class, listeners without a route, host names outside of all listeners. */
import type { Attachment } from './attach.ts';
import type { Door } from './doors.ts';
import { intersection } from './hostnames.ts';
import { type Report, subject } from './report.ts';
import type { LinkedRoute } from './routes.ts';
import type { Gateway, Located } from './world.ts';

/** The class that examples and the chart use. */
const OWN_CLASS = 'tallygate';

export function reportUnreached(
  gateways: readonly Located<Gateway>[],
  doors: readonly Door[],
  attachments: readonly Attachment[],
  report: Report,
): void {
  for (const gateway of gateways) {
    const { gatewayClassName } = gateway.spec;
    if (gatewayClassName === OWN_CLASS) {
      continue;
    }
    report.warning(subject('Gateway', gateway), {
      reason: 'ForeignClass',
      path: 'spec.gatewayClassName',
      message: `${gatewayClassName} is not ${OWN_CLASS}; on this machine all Gateways are served, in a cluster another controller may own this one`,
      fix: `write ${OWN_CLASS}, or take the Gateway out`,
    });
  }
  const served = new Set(attachments.flatMap(({ places }) => places.map(({ door }) => door)));
  for (const door of doors) {
    if (served.has(door)) {
      continue;
    }
    const index = door.gateway.spec.listeners.indexOf(door.listener);
    report.warning(subject('Gateway', door.gateway), {
      reason: 'NothingAttached',
      path: `spec.listeners[${index}]`,
      message: `no AIGatewayRoute is served on listener ${door.listener.name}, so every request gets 404`,
      fix: 'attach an AIGatewayRoute by its parentRefs, or take the listener out',
    });
  }
  for (const [route, own] of Map.groupBy(attachments, (attachment) => attachment.route)) {
    if (own.some(({ refused }) => refused !== undefined)) {
      continue;
    }
    reportHostnames(
      route,
      own.flatMap(({ places }) => places.map(({ hostname }) => hostname)),
      report,
    );
  }
}

function reportHostnames({ route }: LinkedRoute, reached: readonly string[], report: Report): void {
  for (const [index, hostname] of (route.spec.hostnames ?? []).entries()) {
    if (reached.some((each) => intersection(each, hostname) !== undefined)) {
      continue;
    }
    report.warning(subject('AIGatewayRoute', route), {
      reason: 'NoMatchingListenerHostname',
      path: `spec.hostnames[${index}]`,
      message: `no listener that the route is attached to serves ${hostname}`,
      fix: 'correct it, or give a listener this host name',
    });
  }
}
