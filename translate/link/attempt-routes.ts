/** The generated routes of failover within a request. */
import type { RouteRule } from '../../crds/route.ts';
import { durationMs } from '../../crds/schema.ts';
import type { LinkedTarget } from './linked-target.ts';
import type { LinkedRule } from './routes.ts';
import type { LinkedVirtualHost } from './virtual-hosts.ts';

/** A generated route to all backends of a rule. */
export interface AttemptRoute {
  readonly id: string;
  readonly rule: RouteRule;
  readonly targets: readonly LinkedTarget[];
  /** After this time without response headers, the attempt has failed. */
  readonly timeoutMs: number | undefined;
}

/**
 * extproc counts the time to the first token itself, and must be first where no attempt is left.
 */
const TIMEOUT_MARGIN_MS = 250;

/** Returns the routes to all backends of a rule, once each. */
export function attemptRoutesOf({ rules }: Pick<LinkedVirtualHost, 'rules'>): readonly AttemptRoute[] {
  const linked = new Set(rules.map(({ rule }) => rule));
  return [...linked].flatMap(routesOfRule);
}

function routesOfRule({ rule, attempts }: LinkedRule): readonly AttemptRoute[] {
  if (attempts === undefined) {
    return [];
  }
  const { targets, routes } = attempts;
  const timeoutMs = durationMs(rule.timeouts?.firstToken ?? '0s') + TIMEOUT_MARGIN_MS;
  return [
    { id: routes.route, rule, targets, timeoutMs: undefined },
    ...(routes.timedRoute === undefined ? [] : [{ id: routes.timedRoute, rule, targets, timeoutMs }]),
  ];
}
