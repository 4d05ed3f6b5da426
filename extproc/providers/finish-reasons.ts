/** Why a response ends, as the provider says: a few short names, one for each choice. */

/** A hostile provider may send any number of any length. */
const MAX_REASONS = 16;
const MAX_REASON_CHARACTERS = 64;

/** Returns the reasons with another one, as far as there is room. */
export function withReason(reasons: readonly string[] | undefined, reason: unknown): readonly string[] | undefined {
  const { length = 0 } = reasons ?? [];
  const isName = typeof reason === 'string' && reason !== '' && reason.length <= MAX_REASON_CHARACTERS;
  return isName && length < MAX_REASONS ? [...(reasons ?? []), reason] : reasons;
}
