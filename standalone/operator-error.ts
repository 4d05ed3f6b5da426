/** An error that the operator can fix: its message names the fix and is shown without a stack. */
export class OperatorError extends Error {
  override readonly name = 'OperatorError';
}
