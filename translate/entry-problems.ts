/** What is wrong where routes meet: conflicts between them, backends that a listener shuts out, and policies that limit nothing. */
import { conflictFix, type LinkedEntry } from './entries.ts';
import { holdingTargets, type LinkedPolicy, type PolicyTarget } from './quotas.ts';
import { type Report, subject } from './report.ts';

export function reportEntries(
  entries: readonly LinkedEntry[],
  policies: readonly LinkedPolicy[],
  report: Report,
): void {
  reportConflicts(entries, report);
  reportShutOut(entries, report);
  reportIdlePolicies(entries, policies, report);
}

function reportConflicts(entries: readonly LinkedEntry[], report: Report): void {
  const said = new Set<string>();
  for (const { loser, message } of entries.flatMap((each) => each.conflicts)) {
    if (said.has(`${loser.name} ${message}`)) {
      continue;
    }
    said.add(`${loser.name} ${message}`);
    const index = loser.rules.findIndex(({ rule }) => message.startsWith(`rule ${rule.name}: `));
    report.error(subject('AIGatewayRoute', loser.route), {
      reason: 'RulesOverlap',
      path: index === -1 ? 'spec.passthrough' : `spec.rules[${index}].models`,
      message,
      fix: conflictFix,
    });
  }
}

function reportShutOut(entries: readonly LinkedEntry[], report: Report): void {
  const said = new Set<string>();
  for (const { route, problem } of entries.flatMap((each) => each.shutOut)) {
    const key = `${route.name} ${problem.path} ${problem.message}`;
    if (said.has(key)) {
      continue;
    }
    said.add(key);
    report.error(subject('AIGatewayRoute', route.route), { reason: 'BackendNotAllowed', ...problem });
  }
}

function reportIdlePolicies(entries: readonly LinkedEntry[], policies: readonly LinkedPolicy[], report: Report): void {
  const busy = new Set<PolicyTarget>();
  for (const { door, rules, passthrough } of entries) {
    const served = [
      ...rules.filter(({ targets }) => targets.length > 0).map((each) => ({ ...each, name: each.rule.rule.name })),
      ...passthrough.map((each) => ({ ...each, name: undefined })),
    ];
    for (const { route, name, policies: held } of served) {
      for (const policy of held) {
        for (const target of holdingTargets(policy, door, route.name, name)) {
          busy.add(target);
        }
      }
    }
  }
  for (const policy of policies) {
    for (const target of policy.targets) {
      if (!target.exists || busy.has(target)) {
        continue;
      }
      const section = target.section === undefined ? '' : ` (${target.section})`;
      report.warning(subject('AIQuotaPolicy', policy.policy), {
        reason: 'NothingToLimit',
        path: `spec.targetRefs[${target.index}]`,
        message: `no rule of ${target.kind} ${target.name}${section} has a usable backend, so the policy has no effect there`,
        fix: 'fix the problems of the route, or remove the target',
      });
    }
  }
}
