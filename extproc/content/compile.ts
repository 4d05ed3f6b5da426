/** Compiles content policies. Pure. Policies that did not change are reused. */
import { type ConditionFacts, conditionMatcher } from '../../contract/condition.ts';
import type { ContentPolicy } from '../../contract/content.ts';
import { maskRule } from '../guard/compile.ts';
import type { GuardRule } from '../guard/guard.ts';

export interface CompiledContentPolicy {
  readonly policy: ContentPolicy;
  readonly redact: readonly GuardRule[];
  readonly when: ((facts: ConditionFacts) => boolean) | undefined;
}

const compiledPolicies = new WeakMap<ContentPolicy, CompiledContentPolicy>();

/** Throws for a policy that translate should have refused. */
export function compileContentPolicy(policy: ContentPolicy): CompiledContentPolicy {
  const compiled = compiledPolicies.get(policy) ?? {
    policy,
    redact: policy.redact.map((redaction) => maskRule(policy.name, redaction)),
    // Content whose condition cannot be evaluated is not kept.
    when: policy.when === undefined ? undefined : conditionMatcher(policy.when, false),
  };
  compiledPolicies.set(policy, compiled);
  return compiled;
}
