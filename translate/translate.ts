/**
 * THE HEART, pure: a world of resources comes in, and out comes the plan: the policy for extproc, Envoy's configuration, a status for each object and a problem
 * for each mistake. It never throws for what a user wrote, and what is wrong with one object never stops another.
 */
import { attachRoutes } from './attach.ts';
import { linkBackends } from './backends.ts';
import { catalogOf } from './catalog.ts';
import { doorsOf } from './doors.ts';
import { entriesOf } from './entries.ts';
import { reportEntries } from './entry-problems.ts';
import { clusters } from './envoy/clusters.ts';
import { extensions } from './envoy/extensions.ts';
import { listeners } from './envoy/listeners.ts';
import { routeConfigurations } from './envoy/routes.ts';
import { secretsOf } from './envoy/secrets.ts';
import { entryRoutes } from './names.ts';
import { withinBounds } from './namespace-bounds.ts';
import type { EnvoyOptions, Plan } from './plan.ts';
import { gatewayPolicy, strayEntries } from './policy.ts';
import { linkPolicies } from './quotas.ts';
import { newReport } from './report.ts';
import { targetIds } from './route-ids.ts';
import { linkRoutes } from './routes.ts';
import type { Site } from './site.ts';
import { statusesOf } from './statuses.ts';
import { reportUnreached } from './unreached.ts';
import type { World } from './world.ts';

export interface TranslateOptions {
  readonly envoy: EnvoyOptions;
  /** What makes the ids of routes unguessable; to be kept. */
  readonly routeSecret: string;
}

export function translate(world: World, options: TranslateOptions): Plan {
  const report = newReport();
  const catalog = catalogOf(world);
  const doors = doorsOf(world.gateways, catalog, report);
  const site: Site = { type: 'Machine', trustsAuthorities: options.envoy.caBundle !== undefined };
  const backends = linkBackends(world.backends, catalog, site, report);
  const routes = linkRoutes(world.routes, backends, catalog, targetIds(options.routeSecret), report);
  const attachments = withinBounds(attachRoutes(routes, doors, catalog, site, report), report);
  const policies = linkPolicies(world.quotaPolicies, doors, routes, catalog, report);
  const entries = entriesOf(doors, attachments, policies, site);
  reportEntries(entries, policies, report);
  const statuses = statusesOf(backends, attachments, policies, entries, site, report);
  // After the statuses: a warning here is no condition of an object.
  reportUnreached(world.gateways, doors, attachments, report);
  return {
    policy: gatewayPolicy(entries, entryRoutes, strayEntries(doors, entries), backends, policies),
    envoy: {
      listeners: listeners(doors, options.envoy),
      routes: routeConfigurations(doors, entries),
      clusters: clusters(backends, options.envoy),
      extensions: extensions(entries, policies),
    },
    secrets: secretsOf(doors, backends),
    statuses,
    problems: report.sorted(),
  };
}
