/**
 * Limits the conditions of the quota policies of one namespace. All tenants of a proxy share its
 * event loop, so the conditions of one tenant must not slow down the requests of others. Older
 * policies take precedence; the targets of one that does not fit are closed.
 */
import { conditionSteps } from '../../contract/condition.ts';
import { KeyConditions } from '../../contract/key-condition.ts';
import type { Quota } from '../../contract/policy.ts';
import type { AIQuotaPolicy } from '../../crds/kinds.ts';
import type { QuotaPolicySpec } from '../../crds/quota-policy.ts';
import type { AttachedPolicy } from '../attachment/policy-kind.ts';
import { type Diagnostics, type Subject, subject } from '../diagnostics.ts';
import { byAge } from '../object-names.ts';
import type { Webhook } from '../plan.ts';
import type { Located } from '../world.ts';

export interface CompiledQuotas {
  readonly quotas: readonly Quota[];
  readonly requestLimits: NonNullable<QuotaPolicySpec['requestLimits']>;
  readonly webhooks: readonly Webhook[];
}

type AttachedQuotas = AttachedPolicy<Located<AIQuotaPolicy>, CompiledQuotas>;

/**
 * Steps of the conditions that a request may evaluate: `when` of each quota, and the overrides of
 * each quota of which it has a new key. 100,000 take 5 ms at worst.
 */
const MAX_POLICY_STEPS = 100_000;
const MAX_NAMESPACE_STEPS = 300_000;

/** Whether the conditions of one policy are within the limit. Reports those that are not. */
export function hasBoundedSteps(quotas: readonly Quota[], about: Subject, diagnostics: Diagnostics): boolean {
  const steps = stepsOfQuotas(quotas);
  if (steps > MAX_POLICY_STEPS) {
    diagnostics.error(about, {
      reason: 'Invalid',
      path: 'spec.quotas',
      message: `the conditions take ${steps} steps together; the maximum is ${MAX_POLICY_STEPS}`,
      fix: 'use shorter conditions, or fewer',
    });
  }
  return steps <= MAX_POLICY_STEPS;
}

function stepsOfQuotas(quotas: readonly Quota[]): number {
  let steps = 0;
  for (const { when, key, overrides = [] } of quotas) {
    steps += when === undefined ? 0 : conditionSteps(when);
    const conditions = overrides.length > 0 ? new KeyConditions(key) : undefined;
    for (const override of overrides) {
      steps += conditions!.steps(override.when);
    }
  }
  return steps;
}

/** Closes the targets of the policies that exceed the limit. Keeps the order. */
export function quotasWithinBounds(
  policies: readonly AttachedQuotas[],
  diagnostics: Diagnostics,
): readonly AttachedQuotas[] {
  const taken = new Map<string, number>();
  const refused = new Set<AttachedQuotas>();
  const byPolicyAge = policies.toSorted((left, right) => byAge(left.policy, right.policy));
  for (const attached of byPolicyAge.filter(({ valid }) => valid)) {
    const { namespace } = attached.policy.metadata;
    const sum = (taken.get(namespace) ?? 0) + stepsOfQuotas(attached.compiled.quotas);
    if (sum <= MAX_NAMESPACE_STEPS) {
      taken.set(namespace, sum);
      continue;
    }
    refused.add(attached);
    diagnostics.error(subject('AIQuotaPolicy', attached.policy), {
      reason: 'Invalid',
      path: 'spec.quotas',
      message: `with this policy, the conditions of the quotas of namespace ${namespace} take ${sum} steps, so its targets are closed; the maximum is ${MAX_NAMESPACE_STEPS}`,
      fix: 'remove conditions or policies from the namespace',
    });
  }
  const closed = { valid: false, compiled: { quotas: [], requestLimits: {}, webhooks: [] } };
  return policies.map((each) => (refused.has(each) ? { ...each, ...closed } : each));
}
