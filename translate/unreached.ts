/**
 * Standalone warnings about valid resources without effect: Gateways of another class, listeners without
 * a route, host names that no listener serves.
 */
import type { Attachment } from './attach.ts';
import type { Door } from './doors.ts';
import { intersection } from './hostnames.ts';
import { type Report, subject } from './report.ts';
import type { LinkedRoute } from './routes.ts';
import type { Gateway, Located } from './world.ts';

/** The GatewayClass of the examples and the chart. */
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
      message: `the GatewayClass is ${gatewayClassName}, not ${OWN_CLASS}: standalone mode serves the Gateway anyway, but in a cluster another controller may own it`,
      fix: `write ${OWN_CLASS}, or remove the Gateway`,
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
      message: `no AIGatewayRoute is attached to listener ${door.listener.name}, so every request gets 404`,
      fix: 'attach an AIGatewayRoute by its parentRefs, or remove the listener',
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
      message: `no listener of the route serves host name ${hostname}`,
      fix: 'correct the host name, or set it on a listener',
    });
  }
}
