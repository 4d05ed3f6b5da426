/** CORS at a virtual host. A preflight request names no model, so a host name has one setting. */
import type { RouteCors } from '../../crds/route.ts';
import { type Diagnostics, subject } from '../diagnostics.ts';
import type { LinkedVirtualHost } from './virtual-hosts.ts';

/** Returns the setting of the oldest route that has one. */
export function corsOf({ routes }: LinkedVirtualHost): RouteCors | undefined {
  return routes.find(({ route }) => route.spec.cors !== undefined)?.route.spec.cors;
}

/** Warns about settings that the setting of an older route at the same host name replaces. */
export function reportCors(virtualHosts: readonly LinkedVirtualHost[], diagnostics: Diagnostics): void {
  const reported = new Set<string>();
  for (const { routes, hostname } of virtualHosts) {
    const [first, ...others] = routes.filter(({ route }) => route.spec.cors !== undefined);
    const replaced = others.filter(
      ({ name, route }) =>
        JSON.stringify(route.spec.cors) !== JSON.stringify(first?.route.spec.cors) && !reported.has(name),
    );
    for (const { name, route } of replaced) {
      reported.add(name);
      diagnostics.warning(subject('AIGatewayRoute', route), {
        reason: 'RulesOverlap',
        path: 'spec.cors',
        message: `AIGatewayRoute ${first?.name} already sets CORS for host name ${hostname}`,
        fix: 'use the same setting in both, or different host names',
      });
    }
  }
}
