/** Selects the guardrails that apply to a request, and records what they did. */
import type { ConditionFacts } from '../../../contract/condition.ts';
import { isPrincipal } from '../../access/decide.ts';
import type { Caller } from '../../caller.ts';
import { DetectorError } from '../../guard/external/external-detector.ts';
import type { GuardRule } from '../../guard/guard.ts';
import type { GuardRecord, RuleRecord } from '../../record.ts';
import type { EventOf } from '../protocol.ts';
import type { Admission } from './admission.ts';
import { demandOf } from './permission.ts';

/** Calls of services that a trace shows; a long answer has hundreds. */
const MAX_TRACED_CALLS = 20;

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

/** Notes a call of a service that has ended, for the trace of the request. */
export function noteGuardCall(
  admission: Admission,
  { rule, phase, result, askedMs }: EventOf<'analyzed'>,
  nowMs: number,
): void {
  if (admission.request.trace === undefined) {
    return;
  }
  admission.guardCalls ??= { first: [], count: 0 };
  const { guardCalls } = admission;
  guardCalls.count++;
  if (guardCalls.first.length < MAX_TRACED_CALLS) {
    const { type: detector, service } = rule.external;
    const call = { rule: ruleId(rule), phase, detector, url: service.url, startMs: askedMs, endMs: nowMs };
    const isFailed = result instanceof DetectorError;
    guardCalls.first.push(
      isFailed
        ? { ...call, verdict: undefined, findings: 0, error: result.failure }
        : { ...call, verdict: result.action, findings: result.findings.length, error: undefined },
    );
  }
}

/** Returns what the guardrails did so far; undefined where none applies. */
export function guardRecord({ guard, guardFailures, guardCalls }: Admission): GuardRecord | undefined {
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
  return {
    rules: [...rules].map(([rule, record]) => ({ rule, ...record })),
    failures: guardFailures,
    calls: guardCalls,
  };
}

const actionNames = { Mask: 'mask', Block: 'block', Monitor: 'monitor' } as const;
