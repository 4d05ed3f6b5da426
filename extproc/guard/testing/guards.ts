/** Guardrails for tests. */
import { type GuardrailRule, guardrailScopes } from '../../../contract/guardrails.ts';
import { compileGuardrailPolicy } from '../compile.ts';
import { RequestGuard } from '../guard.ts';

export const MASK: GuardrailRule['action'] = { type: 'Mask', placeholder: '<{type}-{index}>', restore: true };

const SEVEN: GuardrailRule['detector'] = {
  type: 'Builtin',
  detectors: ['CreditCard', 'Email', 'IBAN', 'Phone', 'USSocialSecurityNumber', 'IPAddress', 'Secret'],
};

/** Returns the guardrails with one rule, by default of seven detectors and for responses. */
export function guardWith(
  action: GuardrailRule['action'] = MASK,
  phases: readonly ('Request' | 'Response')[] = ['Response'],
  detector: GuardrailRule['detector'] = SEVEN,
  onFailure: GuardrailRule['onFailure'] = 'Closed',
  onUnmaskable: GuardrailRule['onUnmaskable'] = 'Pass',
): RequestGuard {
  const { rules } = compileGuardrailPolicy({
    name: 'default/guard',
    rules: [
      {
        name: 'identifiers',
        phases,
        scope: guardrailScopes,
        detector,
        action,
        onFailure,
        timeoutMs: 100,
        onUnmaskable,
      },
    ],
    exempt: [],
    holdBack: { bytes: 65_536, ms: 2000 },
  });
  return new RequestGuard(rules.map(({ guard }) => guard));
}
