/** Guardrails for tests. */
import { type GuardrailRule, guardrailScopes } from '../../../contract/guardrails.ts';
import { compileGuardrailPolicy } from '../compile.ts';
import { RequestGuard } from '../guard.ts';

export const MASK: GuardrailRule['action'] = { type: 'Mask', placeholder: '<{type}-{index}>', restore: true };

/** Returns the guardrails with one rule of seven built-in detectors, by default for responses. */
export function guardWith(
  action: GuardrailRule['action'] = MASK,
  phases: readonly ('Request' | 'Response')[] = ['Response'],
  onFailure: GuardrailRule['onFailure'] = 'Closed',
): RequestGuard {
  const detectors = ['CreditCard', 'Email', 'IBAN', 'Phone', 'USSocialSecurityNumber', 'IPAddress', 'Secret'] as const;
  const { rules } = compileGuardrailPolicy({
    name: 'default/guard',
    rules: [
      {
        name: 'identifiers',
        phases,
        scope: guardrailScopes,
        detector: { type: 'Builtin', detectors },
        action,
        onFailure,
        timeoutMs: 100,
        onUnmaskable: 'Pass',
      },
    ],
    exempt: [],
    holdBack: { bytes: 65_536, ms: 2000 },
  });
  return new RequestGuard(rules.map(({ guard }) => guard));
}
