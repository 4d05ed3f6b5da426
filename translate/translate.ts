/**
 * Translates a world of resources into the plan for one machine: the policy for extproc, Envoy's
 * configuration, a status per object and a problem per mistake. Pure. Never throws because of user
 * input, and a problem with one object never affects another.
 */
import { newContext } from './context.ts';
import { attemptClusters } from './envoy/attempts.ts';
import { issuerClusters, loginSecrets } from './envoy/browser-login.ts';
import { clusters } from './envoy/clusters.ts';
import { httpFilters } from './envoy/extensions.ts';
import { listenerResources } from './envoy/listeners.ts';
import { routeConfigurations } from './envoy/routes.ts';
import { secretsOf } from './envoy/secrets.ts';
import { browserLoginOf, jwksSources } from './link/access-in-use.ts';
import { wantedTokens } from './link/backends.ts';
import { detectorSecretsInUse } from './link/guardrails.ts';
import { link } from './link/link.ts';
import { standaloneListeners } from './link/listeners.ts';
import { webhooksInUse } from './link/quotas.ts';
import { targetIds } from './link/route-ids.ts';
import { routeNamesOf } from './names.ts';
import { reportNoEffect } from './no-effect.ts';
import { compare } from './object-names.ts';
import type { EnvoyOptions, Plan } from './plan.ts';
import { gatewayPolicy, unmatchedVirtualHosts } from './policy.ts';
import { statusesOf } from './statuses.ts';
import type { World } from './world.ts';

export interface TranslateOptions {
  readonly envoy: EnvoyOptions;
  /** Makes target ids unguessable. Must be persistent. */
  readonly routeSecret: string;
}

export function translate(world: World, options: TranslateOptions): Plan {
  const context = newContext(world, { type: 'Standalone', hasCaBundle: options.envoy.caBundle !== undefined });
  const listeners = standaloneListeners(world.gateways, context);
  const linked = link(world, listeners, targetIds(options.routeSecret), context);
  const { backends, attachments, policies, virtualHosts } = linked;
  const statuses = statusesOf(linked, context);
  // After the statuses, because these warnings are not conditions.
  reportNoEffect(world.gateways, listeners, attachments, context.diagnostics);
  const filters = httpFilters(virtualHosts, policies);
  const logins = virtualHosts.flatMap((virtualHost) => browserLoginOf(virtualHost) ?? []);
  return {
    policy: gatewayPolicy({
      virtualHosts,
      routeNames: routeNamesOf,
      unmatched: unmatchedVirtualHosts(listeners, virtualHosts),
      backends,
      policies,
    }),
    envoy: {
      listeners: listenerResources(listeners, filters, options.envoy),
      routes: routeConfigurations(listeners, virtualHosts, options.envoy),
      clusters: [
        ...attemptClusters(virtualHosts, options.envoy),
        ...clusters(backends, options.envoy),
        ...issuerClusters(logins, options.envoy),
      ],
      extensions: filters,
    },
    secrets: [...secretsOf(listeners, backends), ...loginSecrets(logins, options.routeSecret)].toSorted((left, right) =>
      compare(left.name, right.name),
    ),
    jwksSources: jwksSources(virtualHosts, policies),
    wantedTokens: wantedTokens(backends),
    webhooks: webhooksInUse(virtualHosts, policies),
    detectorSecrets: detectorSecretsInUse(virtualHosts, policies),
    statuses,
    problems: context.diagnostics.sorted(),
  };
}
