/**
 * The amount of a bucket: that of the first override whose condition matches its key, or else that
 * of the quota. The amount is a function of the quota and the key alone, so requests that share a
 * bucket always agree on it.
 */
import { KeyConditions } from '../contract/key-condition.ts';
import type { Quota } from '../contract/policy.ts';

type Amounts = (values: readonly string[]) => number;

const compiled = new WeakMap<Quota, Amounts>();

/** Compiles the overrides of a quota. Throws where a condition has a fault. */
export function compileOverrides(quota: Quota): Amounts {
  const known = compiled.get(quota);
  if (known !== undefined) {
    return known;
  }
  const { limit, key, overrides = [] } = quota;
  const conditions = new KeyConditions(key);
  const matchers = overrides.map(({ when, amount }) => ({ matches: conditions.matcher(when), amount }));
  const amounts: Amounts = (values) => {
    // The bucket of requests without a key has no values.
    const found = values.length === key.length ? matchers.find(({ matches }) => matches(values)) : undefined;
    return found?.amount ?? limit.amount;
  };
  compiled.set(quota, amounts);
  return amounts;
}

/** Returns the amount of the bucket with these values of the key. */
export function amountOf(quota: Quota, values: readonly string[]): number {
  return quota.overrides === undefined ? quota.limit.amount : compileOverrides(quota)(values);
}
