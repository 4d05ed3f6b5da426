/** What the person who runs the gateway can put right: a message that names the fix, shown without a stack. */
export class OperatorError extends Error {
  override readonly name = 'OperatorError';
}
