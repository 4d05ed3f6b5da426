/**
 * Reports the problems between routes and listeners: conflicts, and backends that a listener does
 * not allow.
 */
import type { TranslationContext } from '../context.ts';
import { subject } from '../diagnostics.ts';
import type { ProblemFields } from '../problem.ts';
import type { LinkedRoute } from './routes.ts';
import { conflictFix, type LinkedVirtualHost } from './virtual-hosts.ts';

export function reportVirtualHosts(
  virtualHosts: readonly LinkedVirtualHost[],
  { diagnostics }: TranslationContext,
): void {
  const reported = new Set<string>();
  const report = (route: LinkedRoute, details: ProblemFields): void => {
    const key = `${route.name} ${details.path} ${details.message}`;
    if (!reported.has(key)) {
      reported.add(key);
      diagnostics.error(subject('AIGatewayRoute', route.route), details);
    }
  };
  for (const { conflicts, refsNotAllowed } of virtualHosts) {
    for (const { loser, path, message } of conflicts) {
      report(loser, { reason: 'RulesOverlap', path, message, fix: conflictFix });
    }
    for (const { route, problem } of refsNotAllowed) {
      report(route, { reason: 'BackendNotAllowed', ...problem });
    }
  }
}
