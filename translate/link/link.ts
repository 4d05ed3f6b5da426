/**
 * Links the resources of a world: resolves references, attaches routes and policies, and merges
 * routes into virtual hosts. Standalone and Kubernetes translation share this step and its
 * problems.
 */
import { type AttachedPolicy, attachPolicies } from '../attachment/policy-kind.ts';
import { reportUnusedTargets } from '../attachment/statuses.ts';
import type { TargetScope } from '../attachment/targets.ts';
import type { TranslationContext } from '../context.ts';
import type { World } from '../world.ts';
import { accessPolicyKind } from './access.ts';
import { accessWithinBounds } from './access-bounds.ts';
import { reportLogins, reportUnproven } from './access-problems.ts';
import { type LinkedBackend, linkBackends } from './backends.ts';
import { contentPolicyKind, withRedaction } from './content.ts';
import { reportCors } from './cors.ts';
import { guardrailsWithinBounds } from './guardrail-bounds.ts';
import { reportUnexamined } from './guardrail-problems.ts';
import { guardrailPolicyKind } from './guardrails.ts';
import type { GatewayListener } from './listeners.ts';
import { withinBounds } from './namespace-bounds.ts';
import { quotasWithinBounds } from './quota-bounds.ts';
import { quotaPolicyKind, reportUnidentifiedKeys } from './quotas.ts';
import { attachRoutes, type RouteAttachment } from './route-attachment.ts';
import type { TargetIds } from './route-ids.ts';
import { type LinkedRoute, linkRoutes } from './routes.ts';
import { reportUnpriced } from './unpriced.ts';
import { reportVirtualHosts } from './virtual-host-problems.ts';
import { type LinkedVirtualHost, linkVirtualHosts } from './virtual-hosts.ts';

export interface LinkedWorld {
  readonly backends: readonly LinkedBackend[];
  readonly routes: readonly LinkedRoute[];
  readonly attachments: readonly RouteAttachment[];
  readonly policies: readonly AttachedPolicy[];
  readonly virtualHosts: readonly LinkedVirtualHost[];
}

export function link(
  world: World,
  listeners: readonly GatewayListener[],
  ids: TargetIds,
  context: TranslationContext,
): LinkedWorld {
  const backends = linkBackends(world.backends, context);
  const routes = linkRoutes(world.routes, backends, ids, context);
  const attachments = withinBounds(attachRoutes(routes, listeners, context), context.diagnostics);
  const policies = linkPolicies(world, { listeners, routes }, context);
  const virtualHosts = linkVirtualHosts(listeners, attachments, policies, context);
  reportVirtualHosts(virtualHosts, context);
  reportUnusedTargets(policies, virtualHosts, context);
  reportCors(virtualHosts, context.diagnostics);
  reportUnexamined(virtualHosts, context.diagnostics);
  reportUnproven(virtualHosts, context.diagnostics);
  reportLogins(virtualHosts, context.diagnostics);
  reportUnidentifiedKeys(policies, virtualHosts, context);
  reportUnpriced(policies, virtualHosts, context.diagnostics);
  return { backends, routes, attachments, policies, virtualHosts };
}

/** Attaches the policies of all kinds, one row per kind. */
function linkPolicies(world: World, scope: TargetScope, context: TranslationContext): readonly AttachedPolicy[] {
  const guardrails = guardrailsWithinBounds(
    attachPolicies(guardrailPolicyKind, world.guardrailPolicies, scope, context),
    context.diagnostics,
  );
  return [
    quotasWithinBounds(attachPolicies(quotaPolicyKind, world.quotaPolicies, scope, context), context.diagnostics),
    accessWithinBounds(attachPolicies(accessPolicyKind, world.accessPolicies, scope, context), context.diagnostics),
    guardrails,
    withRedaction(
      attachPolicies(contentPolicyKind, world.contentPolicies, scope, context),
      guardrails,
      context.diagnostics,
    ),
  ].flat();
}
