/** Texts that a signature covers: a change would break the signature. */
import type { GuardRule, RequestGuard } from './guard.ts';

const MESSAGE = 'A value that may not be sent is in a text that its signature protects from changes.';

/** Blocks the request if one of these rules would change a signed text and does not let it pass. */
export function blockSigned(guard: RequestGuard, rules: readonly (GuardRule | undefined)[]): void {
  const rule = rules.find((each) => each?.action.type === 'Mask' && each.onUnmaskable === 'Block');
  if (rule !== undefined) {
    guard.block ??= { rule, message: MESSAGE };
  }
}
