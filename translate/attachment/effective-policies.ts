/** The policies that apply to a place, from the Gateway down to the rule. */
import { compare, fullName } from '../object-names.ts';
import type { AttachedPolicy } from './policy-kind.ts';
import { type PolicyPlace, type PolicyTarget, targetsIncluding } from './targets.ts';

/** Policies by `KIND NAMESPACE/NAME` of their targets. */
export type PolicyIndex = ReadonlyMap<string, readonly AttachedPolicy[]>;

export function indexPolicies(policies: readonly AttachedPolicy[]): PolicyIndex {
  const index = new Map<string, Set<AttachedPolicy>>();
  for (const policy of policies) {
    for (const { kind, name } of policy.targets) {
      const key = `${kind} ${name}`;
      index.set(key, (index.get(key) ?? new Set()).add(policy));
    }
  }
  return new Map([...index].map(([key, ofTarget]) => [key, [...ofTarget]]));
}

/** Returns the policies that apply to a place: from the Gateway down to the rule. */
export function effectivePolicies(index: PolicyIndex, place: PolicyPlace): readonly AttachedPolicy[] {
  const candidates = new Set([
    ...(index.get(`Gateway ${fullName(place.listener.gateway)}`) ?? []),
    ...(index.get(`AIGatewayRoute ${place.route}`) ?? []),
  ]);
  return [...candidates]
    .flatMap((policy) => {
      const depths = targetsIncluding(policy.targets, place).map(depthOf);
      return depths.length === 0 ? [] : [{ policy, depth: Math.min(...depths) }];
    })
    .toSorted(
      (left, right) =>
        left.depth - right.depth ||
        (left.policy.rank ?? 0) - (right.policy.rank ?? 0) ||
        compare(left.policy.name, right.policy.name),
    )
    .map(({ policy }) => policy);
}

/** Gateway 0, listener 1, route 2, rule 3. */
function depthOf({ kind, section }: PolicyTarget): number {
  return (kind === 'Gateway' ? 0 : 2) + (section === undefined ? 0 : 1);
}
