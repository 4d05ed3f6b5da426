/** Selects the guardrails that apply to a request, and records what they did. */
import type { ConditionFacts } from '../../../contract/condition.ts';
import { isPrincipal } from '../../access/decide.ts';
import type { Caller } from '../../caller.ts';
import type { GuardRule } from '../../guard/guard.ts';
import type { GuardRecord, RuleRecord } from '../../record.ts';
import type { Admission } from './admission.ts';
import { demandOf } from './permission.ts';

const NO_RULES: readonly GuardRule[] = [];

/** Returns the rules of all policies, without those from which the caller is exempt. */
export function guardrailsFor(admission: Admission): readonly GuardRule[] {
  const policies = (admission.choice?.rule ?? admission.passthrough!).guardrails;
  if (policies.length === 0) {
    return NO_RULES;
  }
  const caller = admission.identity?.proven.caller;
  const { tenant, user, groups = [] } = caller ?? {};
  const facts: ConditionFacts = { request: demandOf(admission), caller: { tenant, user, groups } };
  return policies
    .filter(({ policy }) => !isExempt(policy.exempt, caller))
    .flatMap(({ rules }) => rules)
    .filter(({ exempt, when }) => !isExempt(exempt, caller) && (when === undefined || when(facts)))
    .map(({ guard }) => guard);
}

/** Without an access policy, nobody is exempt. */
export function isExempt(
  principals: readonly Parameters<typeof isPrincipal>[0][],
  caller: Caller | undefined,
): boolean {
  return caller !== undefined && principals.some((principal) => isPrincipal(principal, caller));
}

export function ruleId({ policy, name }: GuardRule): string {
  return `${policy}/${name}`;
}

/** Returns what the guardrails did so far; undefined where none applies. */
export function guardRecord({ guard, guardFailures }: Admission): GuardRecord | undefined {
  if (guard === undefined) {
    return undefined;
  }
  const rules = new Map<string, { action: RuleRecord['action']; findings: Record<string, number> }>();
  const recordOf = (rule: GuardRule) => {
    const id = ruleId(rule);
    const record = rules.get(id) ?? { action: actionNames[rule.action.type], findings: {} };
    rules.set(id, record);
    return record;
  };
  for (const { rule, type, count } of guard.counts()) {
    const record = recordOf(rule);
    record.findings[type] = (record.findings[type] ?? 0) + count;
  }
  if (guard.block !== undefined) {
    recordOf(guard.block.rule).action = 'block';
  }
  return { rules: [...rules].map(([rule, record]) => ({ rule, ...record })), failures: guardFailures };
}

const actionNames = { Mask: 'mask', Block: 'block', Monitor: 'monitor' } as const;
