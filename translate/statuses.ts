/**
 * Conditions in the form of Gateway API: per parent for routes, per ancestor for policies, plain
 * for backends.
 */
import { type Condition, condition } from '../crds/conditions.ts';
import { ancestorStatuses } from './attachment/statuses.ts';
import type { TranslationContext } from './context.ts';
import { type Diagnostics, subject } from './diagnostics.ts';
import type { LinkedBackend } from './link/backends.ts';
import type { LinkedWorld } from './link/link.ts';
import type { RouteAttachment } from './link/route-attachment.ts';
import type { LinkedRoute } from './link/routes.ts';
import { conflictFix, type LinkedVirtualHost, virtualHostKey } from './link/virtual-hosts.ts';
import { compare, refKey } from './object-names.ts';
import type { ObjectStatus } from './plan.ts';
import { firstWithReason, type ObjectRef, problemSentence } from './problem.ts';

export function statusesOf(
  { backends, attachments, policies, virtualHosts }: LinkedWorld,
  context: TranslationContext,
): readonly ObjectStatus[] {
  return [
    ...backends.map((backend) => backendStatus(backend, context.diagnostics)),
    ...routeStatuses(attachments, virtualHosts, context.diagnostics),
    ...policies.map((policy) => ancestorStatuses(policy, virtualHosts, context)),
  ].toSorted((left, right) => compare(refKey(left.object), refKey(right.object)));
}

function backendStatus({ backend, usable, wanted }: LinkedBackend, diagnostics: Diagnostics): ObjectStatus {
  const object = subject('AIBackend', backend).ref;
  const { generation } = backend.metadata;
  const problems = diagnostics.of(object);
  const notAccepted = firstWithReason(problems, ['Invalid', 'DestinationNotAllowed', 'Unsupported']);
  const unresolved = firstWithReason(problems, [
    'RefNotPermitted',
    'ServiceNotFound',
    'SecretNotFound',
    'InvalidSecret',
    'IdentityNotAllowed',
    'TokenNotFetched',
  ]);
  return {
    object,
    conditions: [
      condition('Accepted', notAccepted?.reason ?? 'Accepted', messageOf(notAccepted), generation),
      unresolved === undefined && usable === undefined && wanted !== undefined
        ? condition('ResolvedRefs', 'TokenNotFetched', 'the token is not fetched yet', generation)
        : condition('ResolvedRefs', unresolved?.reason ?? 'ResolvedRefs', messageOf(unresolved), generation),
    ],
  };
}

/** Virtual hosts by key, with their rules by route. */
type ServedVirtualHosts = ReadonlyMap<string, ServedVirtualHost>;

interface ServedVirtualHost {
  readonly virtualHost: LinkedVirtualHost;
  readonly rules: ReadonlyMap<LinkedRoute, LinkedVirtualHost['rules']>;
}

function routeStatuses(
  attachments: readonly RouteAttachment[],
  virtualHosts: readonly LinkedVirtualHost[],
  diagnostics: Diagnostics,
): readonly ObjectStatus[] {
  const served: ServedVirtualHosts = new Map(
    virtualHosts.map((virtualHost) => [
      virtualHost.key,
      { virtualHost, rules: Map.groupBy(virtualHost.rules, (rule) => rule.route) },
    ]),
  );
  return [...Map.groupBy(attachments, ({ route }) => route)].map(([route, ofRoute]) => {
    const object = subject('AIGatewayRoute', route.route).ref;
    return {
      object,
      parents: ofRoute.map((attachment) => ({
        parentRef: attachment.parentRef,
        conditions: parentConditions(attachment, object, served, diagnostics),
      })),
    };
  });
}

function parentConditions(
  { route, parentRef, refused, places }: RouteAttachment,
  object: ObjectRef,
  served: ServedVirtualHosts,
  diagnostics: Diagnostics,
): readonly Condition[] {
  const { generation } = route.route.metadata;
  const problems = diagnostics.of(object);
  const index = route.route.spec.parentRefs.indexOf(parentRef);
  const refusal = problems.find(
    ({ reason, path }) => reason === refused && (reason === 'Invalid' || path === `spec.parentRefs[${index}]`),
  );
  const here = places.flatMap(({ listener, hostname }) => served.get(virtualHostKey(listener, hostname)) ?? []);
  const refNotAllowed = here
    .flatMap(({ virtualHost }) => virtualHost.refsNotAllowed)
    .find((each) => each.route === route);
  const unresolved =
    firstWithReason(problems, ['RefNotPermitted', 'BackendNotFound', 'BackendNotReady']) ??
    (refNotAllowed && ({ reason: 'BackendNotAllowed', problem: refNotAllowed.problem } as const));
  const conflicts = new Set(
    here.flatMap(({ virtualHost }) =>
      virtualHost.conflicts.filter(({ loser }) => loser === route).map(({ message }) => message),
    ),
  );
  return [
    condition('Accepted', refused ?? 'Accepted', messageOf(refusal && { problem: refusal }), generation),
    condition('ResolvedRefs', unresolved?.reason ?? 'ResolvedRefs', messageOf(unresolved), generation),
    condition(
      'Conflicted',
      conflicts.size === 0 ? 'NoConflicts' : 'RulesOverlap',
      conflicts.size === 0 ? '' : [...conflicts, `fix: ${conflictFix}`].join('; '),
      generation,
    ),
    ...affectedConditions(route, here),
  ];
}

/** One condition per policy kind that affects the route (GEP-713). */
function affectedConditions(route: LinkedRoute, here: readonly ServedVirtualHost[]): readonly Condition[] {
  const policies = new Set(here.flatMap(({ rules }) => (rules.get(route) ?? []).flatMap((rule) => rule.policies)));
  return [...Map.groupBy(policies, ({ kind }) => kind)].map(([{ affectedCondition }, ofKind]) => {
    const names = ofKind.map(({ name }) => name).toSorted(compare);
    const message = `affected by ${names.join(', ')}`;
    return condition(affectedCondition, 'PolicyAffected', message, route.route.metadata.generation);
  });
}

function messageOf(found: { readonly problem: Parameters<typeof problemSentence>[0] } | undefined): string {
  return found === undefined ? '' : problemSentence(found.problem);
}
