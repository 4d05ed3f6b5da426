/** Texts that a signature covers: a change would break the signature. */
import type { RequestGuard, RuleFinding } from './guard.ts';

const MESSAGE = 'A value that may not be sent is in a text that its signature protects from changes.';

/** Blocks the request if a rule would mask findings in a signed text and does not let them pass. */
export function blockSigned(guard: RequestGuard, findings: readonly RuleFinding[]): void {
  const rule = findings.find(
    (finding) => finding.rule?.action.type === 'Mask' && finding.rule.onUnmaskable === 'Block',
  )?.rule;
  if (rule !== undefined) {
    guard.block ??= { rule, message: MESSAGE };
  }
}
