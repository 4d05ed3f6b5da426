/** The status of policies: one entry per ancestor, and warnings about targets without effect. */
import { condition } from '../../crds/conditions.ts';
import { GATEWAY_GROUP, GROUP } from '../../crds/schema.ts';
import type { TranslationContext } from '../context.ts';
import { subject } from '../diagnostics.ts';
import type { LinkedVirtualHost } from '../link/virtual-hosts.ts';
import { compare, fullName, refKey } from '../object-names.ts';
import type { ObjectStatus } from '../plan.ts';
import { firstWithReason, type ObjectRef, problemSentence } from '../problem.ts';
import type { AttachedPolicy } from './policy-kind.ts';
import { type PolicyPlace, type PolicyTarget, targetsIncluding } from './targets.ts';

/** The limit of Gateway API. */
const MAX_ANCESTORS = 16;

interface ServedPlace extends PolicyPlace {
  readonly policies: readonly AttachedPolicy[];
  /** Whether a backend serves the place. */
  readonly isServed: boolean;
}

function placesOf({ listener, rules, passthrough }: LinkedVirtualHost): readonly ServedPlace[] {
  return [
    ...rules.map(({ route, rule, targets, policies }) => ({
      listener,
      route: route.name,
      rule: rule.rule.name,
      policies,
      isServed: targets.length > 0,
    })),
    ...passthrough.map(({ route, policies }) => ({
      listener,
      route: route.name,
      rule: undefined,
      policies,
      isServed: true,
    })),
  ];
}

/** Warns about existing targets that no backend serves. */
export function reportUnusedTargets(
  policies: readonly AttachedPolicy[],
  virtualHosts: readonly LinkedVirtualHost[],
  { diagnostics }: TranslationContext,
): void {
  const used = new Set<PolicyTarget>();
  for (const place of virtualHosts.flatMap(placesOf).filter(({ isServed }) => isServed)) {
    for (const target of place.policies.flatMap(({ targets }) => targetsIncluding(targets, place))) {
      used.add(target);
    }
  }
  for (const { kind, policy, targets } of policies) {
    for (const target of targets.filter((each) => each.exists && !used.has(each))) {
      const section = target.section === undefined ? '' : ` (${target.section})`;
      diagnostics.warning(subject(kind.kind, policy), {
        reason: 'NoEffect',
        path: `spec.targetRefs[${target.index}]`,
        message: `no rule of ${target.kind} ${target.name}${section} has a usable backend, so the policy has no effect there`,
        fix: 'fix the problems of the route, or remove the target',
      });
    }
  }
}

/** Returns the status of a policy, with one entry per ancestor. */
export function ancestorStatuses(
  attached: AttachedPolicy,
  virtualHosts: readonly LinkedVirtualHost[],
  context: TranslationContext,
): ObjectStatus {
  const { kind, policy } = attached;
  const object = subject(kind.kind, policy).ref;
  const { generation } = policy.metadata;
  const problems = context.diagnostics.of(object);
  return {
    object,
    ancestors: ancestorsOf(attached, virtualHosts).map(({ ancestorRef, targets, neighbours }) => {
      const problem = firstWithReason(
        problems.filter(({ path }) => concernsTarget(targets, path)),
        ['Invalid', 'TargetNotFound', 'NoEffect'],
      );
      if (problem !== undefined) {
        const message = problemSentence(problem.problem);
        return { ancestorRef, conditions: [condition('Accepted', problem.reason, message, generation)] };
      }
      const { message, conditions } = kind.statusNotes(attached, neighbours, context);
      return { ancestorRef, conditions: [condition('Accepted', 'Accepted', message, generation), ...conditions] };
    }),
  };
}

interface PolicyAncestor {
  readonly ancestorRef: ObjectRef;
  /** Indexes of the targets that reach the ancestor. */
  readonly targets: Set<number>;
  readonly neighbours: (readonly AttachedPolicy[])[];
}

/**
 * Returns the Gateways that a policy affects. A route that no Gateway serves is its own ancestor,
 * so that every target has a status.
 */
function ancestorsOf(attached: AttachedPolicy, virtualHosts: readonly LinkedVirtualHost[]): readonly PolicyAncestor[] {
  const ancestors = new Map<string, PolicyAncestor>();
  const reached = new Set<number>();
  const add = (group: string, kind: string, ancestorName: string, target: number): PolicyAncestor => {
    const [namespace = '', name = ''] = ancestorName.split('/');
    const ancestorRef = { group, kind, namespace, name };
    const ancestor = ancestors.get(refKey(ancestorRef)) ?? { ancestorRef, targets: new Set(), neighbours: [] };
    ancestors.set(refKey(ancestorRef), ancestor);
    ancestor.targets.add(target);
    reached.add(target);
    return ancestor;
  };
  for (const place of virtualHosts.flatMap(placesOf).filter(({ policies }) => policies.includes(attached))) {
    const ancestors = targetsIncluding(attached.targets, place).map(({ index }) =>
      add(GATEWAY_GROUP, 'Gateway', fullName(place.listener.gateway), index),
    );
    ancestors[0]?.neighbours.push(place.policies);
  }
  for (const { kind, name, index } of attached.targets) {
    if (kind === 'Gateway') {
      add(GATEWAY_GROUP, kind, name, index);
    } else if (!reached.has(index)) {
      add(GROUP, kind, name, index);
    }
  }
  return [...ancestors.values()]
    .toSorted((left, right) => compare(refKey(left.ancestorRef), refKey(right.ancestorRef)))
    .slice(0, MAX_ANCESTORS);
}

/** Returns whether a path belongs to one of the targets, or to the whole policy. */
function concernsTarget(targets: ReadonlySet<number>, path: string): boolean {
  const index = /^spec\.targetRefs\[(\d+)\]/.exec(path)?.[1];
  return index === undefined || targets.has(Number(index));
}
