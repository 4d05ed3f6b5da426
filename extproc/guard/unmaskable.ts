/** Texts that cannot be changed, such as those that a signature covers. */
import type { GuardRule, RequestGuard } from './guard.ts';

const MESSAGE = 'A value that may not be sent is where it cannot be replaced, such as in a signed text.';

/** Blocks if one of these rules would change such a text and does not let it pass. */
export function blockUnmaskable(guard: RequestGuard, rules: readonly (GuardRule | undefined)[]): void {
  const rule = rules.find((each) => each?.action.type === 'Mask' && each.onUnmaskable === 'Block');
  if (rule !== undefined) {
    guard.block ??= { rule, message: MESSAGE };
  }
}
