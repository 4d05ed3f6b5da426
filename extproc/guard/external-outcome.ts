/** What the answer of a service means for its rule. */
import type { ExternalGuardRule } from './compile.ts';
import type { Analysis } from './external/external-detector.ts';
import type { GuardBlock, GuardRule, RuleFinding } from './guard.ts';

export interface ExternalOutcome {
  /** Offsets in the text that the service got. */
  readonly findings: readonly RuleFinding[];
  readonly block: GuardBlock | undefined;
  /** What takes the place of the whole text. */
  readonly replacement: string | undefined;
  /** The service objects to the text, and names no place. */
  readonly isVerdict: boolean;
}

export function outcomeOf(rule: ExternalGuardRule, answer: Analysis): ExternalOutcome {
  const acting = actingRule(rule, answer);
  const modifies = rule.decides !== undefined && answer.action === 'modify';
  return {
    findings: answer.findings.map((finding) => ({ ...finding, rule: acting })),
    block: isBlocked(rule, answer) ? { rule, message: blockMessage(rule, answer) } : undefined,
    replacement: modifies ? answer.replacement : undefined,
    isVerdict: answer.action !== 'allow' && answer.findings.length === 0,
  };
}

/** Returns the rule with the action that an answer asks for. */
function actingRule(rule: ExternalGuardRule, { action }: Analysis): GuardRule {
  return rule.decides === undefined || action === 'modify' ? rule : monitoring(rule);
}

const monitors = new WeakMap<GuardRule, GuardRule>();

/** Returns the rule as one that only records. */
function monitoring(rule: GuardRule): GuardRule {
  const monitor = monitors.get(rule) ?? { ...rule, action: { type: 'Monitor' } };
  monitors.set(rule, monitor);
  return monitor;
}

function isBlocked(rule: ExternalGuardRule, { action, findings }: Analysis): boolean {
  return rule.decides === undefined
    ? rule.action.type === 'Block' && (action === 'block' || findings.length > 0)
    : action === 'block';
}

function blockMessage(rule: ExternalGuardRule, { message }: Analysis): string {
  if (rule.decides !== undefined) {
    return message ?? rule.decides.message;
  }
  return rule.action.type === 'Block' ? rule.action.message : '';
}
