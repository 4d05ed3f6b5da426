/**
 * The conditions of quotas: which requests a quota counts, and the amount of each key. The amount
 * is a function of the quota and the key alone, so requests that share a bucket always agree on it.
 */
import { type ConditionFacts, conditionMatcher } from '../contract/condition.ts';
import { KeyConditions } from '../contract/key-condition.ts';
import type { Quota } from '../contract/policy.ts';

interface QuotaConditions {
  readonly selects: (facts: ConditionFacts) => boolean;
  readonly amountOf: (values: readonly string[]) => number;
}

const compiled = new WeakMap<Quota, QuotaConditions>();

/** Compiles the conditions of a quota. Throws where one of them has a fault. */
export function compileQuotaConditions(quota: Quota): QuotaConditions {
  const known = compiled.get(quota);
  if (known !== undefined) {
    return known;
  }
  const { when, limit, key, overrides = [] } = quota;
  const conditions = overrides.length > 0 ? new KeyConditions(key) : undefined;
  const matchers = overrides.map((each) => ({ matches: conditions!.matcher(each.when), amount: each.amount }));
  const made: QuotaConditions = {
    // Nobody escapes a quota by a request for which its condition cannot be evaluated.
    selects: when === undefined ? () => true : conditionMatcher(when, true),
    amountOf(values) {
      // The bucket of requests without a key has no values.
      const found = values.length === key.length ? matchers.find(({ matches }) => matches(values)) : undefined;
      return found?.amount ?? limit.amount;
    },
  };
  compiled.set(quota, made);
  return made;
}

/** Returns the amount of the bucket with these values of the key. */
export function amountOf(quota: Quota, values: readonly string[]): number {
  return quota.overrides === undefined ? quota.limit.amount : compileQuotaConditions(quota).amountOf(values);
}

/** Returns the quotas that count a request. Asks for `facts` only where a quota has a condition. */
export function selectedQuotas(quotas: readonly Quota[], facts: () => ConditionFacts): readonly Quota[] {
  if (!quotas.some(hasCondition)) {
    return quotas;
  }
  const of = facts();
  return quotas.filter((quota) => !hasCondition(quota) || compileQuotaConditions(quota).selects(of));
}

function hasCondition({ when }: Quota): boolean {
  return when !== undefined;
}
