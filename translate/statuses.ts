/** Conditions for each object, in the manner of Gateway API: routes for each parent, policies for each ancestor, backends plain. */
import { type Condition, condition } from '../crds/conditions.ts';
import { durationMs, GATEWAY_GROUP, GROUP } from '../crds/schema.ts';
import type { Attachment } from './attach.ts';
import type { LinkedBackend } from './backends.ts';
import { conflictFix, entryKey, type LinkedEntry } from './entries.ts';
import type { ObjectStatus } from './plan.ts';
import type { ObjectRef, Problem } from './problem.ts';
import { holdingTargets, type LinkedPolicy } from './quotas.ts';
import { compare, fullName, type Report, refKey, subject } from './report.ts';
import type { LinkedRoute } from './routes.ts';
import type { Site } from './site.ts';

export function statusesOf(
  backends: readonly LinkedBackend[],
  attachments: readonly Attachment[],
  policies: readonly LinkedPolicy[],
  entries: readonly LinkedEntry[],
  site: Site,
  report: Report,
): readonly ObjectStatus[] {
  return [
    ...backends.map((backend) => backendStatus(backend, report)),
    ...routeStatuses(attachments, entries, report),
    ...policies.map((policy) => policyStatus(policy, entries, site, report)),
  ].toSorted((left, right) => compare(refKey(left.object), refKey(right.object)));
}

function backendStatus({ backend }: LinkedBackend, report: Report): ObjectStatus {
  const object = subject('AIBackend', backend).ref;
  const { generation } = backend.metadata;
  const problems = report.of(object);
  const unaccepted = firstOf(problems, ['Invalid', 'DestinationNotAllowed', 'Unsupported']);
  const unresolved = firstOf(problems, ['RefNotPermitted', 'ServiceNotFound', 'SecretNotFound', 'InvalidSecret']);
  return {
    object,
    conditions: [
      condition('Accepted', unaccepted?.reason ?? 'Accepted', sentence(unaccepted), generation),
      condition('ResolvedRefs', unresolved?.reason ?? 'ResolvedRefs', sentence(unresolved), generation),
    ],
  };
}

function routeStatuses(
  attachments: readonly Attachment[],
  entries: readonly LinkedEntry[],
  report: Report,
): readonly ObjectStatus[] {
  const served = new Map(
    entries.map((entry) => [entry.key, { entry, rules: Map.groupBy(entry.rules, (rule) => rule.route) }]),
  );
  return [...Map.groupBy(attachments, ({ route }) => route)].map(([route, own]) => {
    const object = subject('AIGatewayRoute', route.route).ref;
    return {
      object,
      parents: own.map((attachment) => ({
        parentRef: attachment.parentRef,
        conditions: parentConditions(attachment, object, served, report),
      })),
    };
  });
}

/** With its rules by route. */
interface ServedEntry {
  readonly entry: LinkedEntry;
  readonly rules: ReadonlyMap<LinkedRoute, LinkedEntry['rules']>;
}

function parentConditions(
  { route, parentRef, refused, places }: Attachment,
  object: ObjectRef,
  served: ReadonlyMap<LinkedEntry['key'], ServedEntry>,
  report: Report,
): readonly Condition[] {
  const { generation } = route.route.metadata;
  const problems = report.of(object);
  const index = route.route.spec.parentRefs.indexOf(parentRef);
  const refusal = problems.find(
    ({ reason, path }) => reason === refused && (reason === 'Invalid' || path === `spec.parentRefs[${index}]`),
  );
  const here = places.flatMap(({ door, hostname }) => served.get(entryKey(door, hostname)) ?? []);
  const shutOut = here.flatMap(({ entry }) => entry.shutOut).find((each) => each.route === route);
  const unresolved =
    firstOf(problems, ['RefNotPermitted', 'BackendNotFound', 'BackendNotReady']) ??
    (shutOut && ({ reason: 'BackendNotAllowed', problem: shutOut.problem } as const));
  const conflicts = new Set(
    here.flatMap(({ entry }) => entry.conflicts.filter(({ loser }) => loser === route).map(({ message }) => message)),
  );
  const limiting = new Set(
    here.flatMap(({ rules }) => (rules.get(route) ?? []).flatMap((rule) => rule.policies.map(({ name }) => name))),
  );
  return [
    condition('Accepted', refused ?? 'Accepted', sentence(refusal), generation),
    condition('ResolvedRefs', unresolved?.reason ?? 'ResolvedRefs', sentence(unresolved), generation),
    condition(
      'Conflicted',
      conflicts.size === 0 ? 'NoConflicts' : 'RulesOverlap',
      conflicts.size === 0 ? '' : [...conflicts, `fix: ${conflictFix}`].join('; '),
      generation,
    ),
    ...(limiting.size === 0
      ? []
      : [
          condition(
            'tallygate.dev/AIQuotaPolicyAffected',
            'PolicyAffected',
            `limited by ${[...limiting].toSorted(compare).join(', ')}`,
            generation,
          ),
        ]),
  ];
}

/** There is no shared quota store yet. */
const perProxy = 'each proxy pod of the Gateway counts separately: the limits apply per pod, not in total';

/** Pods commonly live longer than this. */
const LONG_WINDOW_MS = 3_600_000;

/** Names the quotas whose window a proxy pod may not outlive. */
function longWindows({ policy }: LinkedPolicy): readonly string[] {
  return (policy.spec.quotas ?? []).flatMap(({ name, window: { calendar, sliding } }) => {
    const isShort =
      sliding === undefined
        ? calendar?.unit === 'Minute' || calendar?.unit === 'Hour'
        : durationMs(sliding.duration) <= LONG_WINDOW_MS;
    return isShort ? [] : [name];
  });
}

function policyStatus(policy: LinkedPolicy, entries: readonly LinkedEntry[], site: Site, report: Report): ObjectStatus {
  const object = subject('AIQuotaPolicy', policy.policy).ref;
  const { generation } = policy.policy.metadata;
  const problems = report.of(object);
  return {
    object,
    ancestors: ancestorsOf(policy, entries).map(({ ancestorRef, targets }) => {
      const own = problems.filter(({ path }) => isAbout(targets, path));
      const problem = firstOf(own, ['Invalid', 'TargetNotFound', 'NothingToLimit']);
      const message =
        problem === undefined && site.type === 'Cluster' && policy.quotas.length > 0 ? perProxy : sentence(problem);
      const accepted = condition('Accepted', problem?.reason ?? 'Accepted', message, generation);
      const long = problem === undefined && site.type === 'Cluster' ? longWindows(policy) : [];
      if (long.length === 0) {
        return { ancestorRef, conditions: [accepted] };
      }
      const forgotten = `${long.join(', ')}: usage is stored in the proxy pod and lost with it, so a new pod (rollout, eviction, scale-up) starts with the full budget`;
      return {
        ancestorRef,
        conditions: [accepted, condition('tallygate.dev/BudgetEndsWithPod', 'LongWindow', forgotten, generation)],
      };
    }),
  };
}

interface Ancestor {
  readonly ancestorRef: ObjectRef;
  /** Of the policy, by index. */
  readonly targets: Set<number>;
}

/** The Gateways that the policy reaches, and by which targets; a route that none of them serves stands for itself, so that no target stays without an answer. */
function ancestorsOf(policy: LinkedPolicy, entries: readonly LinkedEntry[]): readonly Ancestor[] {
  const ancestors = new Map<string, Ancestor>();
  const reached = new Set<number>();
  const add = (group: string, kind: string, fullName: string, target: number): void => {
    const [namespace = '', name = ''] = fullName.split('/');
    const ancestorRef = { group, kind, namespace, name };
    const ancestor = ancestors.get(refKey(ancestorRef)) ?? { ancestorRef, targets: new Set() };
    ancestors.set(refKey(ancestorRef), ancestor);
    ancestor.targets.add(target);
    reached.add(target);
  };
  for (const { door, rules, passthrough } of entries) {
    const limited = [
      ...rules.map((each) => ({ ...each, name: each.rule.rule.name })),
      ...passthrough.map((each) => ({ ...each, name: undefined })),
    ].filter(({ policies }) => policies.includes(policy));
    for (const { route, name } of limited) {
      for (const { index } of holdingTargets(policy, door, route.name, name)) {
        add(GATEWAY_GROUP, 'Gateway', fullName(door.gateway), index);
      }
    }
  }
  for (const { kind, name, index } of policy.targets) {
    if (kind === 'Gateway') {
      add(GATEWAY_GROUP, kind, name, index);
    } else if (!reached.has(index)) {
      add(GROUP, kind, name, index);
    }
  }
  return [...ancestors.values()]
    .toSorted((left, right) => compare(refKey(left.ancestorRef), refKey(right.ancestorRef)))
    .slice(0, ANCESTORS);
}

/** As many as Gateway API allows. */
const ANCESTORS = 16;

/** One of the targets, or the whole policy. */
function isAbout(targets: ReadonlySet<number>, path: string): boolean {
  const index = /^spec\.targetRefs\[(\d+)\]/.exec(path)?.[1];
  return index === undefined || targets.has(Number(index));
}

/** The first problem with one of these reasons. */
function firstOf<R extends Problem['reason']>(
  problems: readonly Problem[],
  reasons: readonly R[],
): { readonly reason: R; readonly problem: Problem } | undefined {
  for (const problem of problems) {
    const reason = reasons.find((each) => each === problem.reason);
    if (reason !== undefined) {
      return { reason, problem };
    }
  }
  return undefined;
}

type Said = Pick<Problem, 'path' | 'message' | 'fix'>;

function sentence(found: Said | { readonly problem: Said } | undefined): string {
  if (found === undefined) {
    return '';
  }
  const { path, message, fix } = 'problem' in found ? found.problem : found;
  return `${path}: ${message}; fix: ${fix}`;
}
