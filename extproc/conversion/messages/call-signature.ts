/**
 * The signature of a tool call (Gemini), which a client of messages echoes as that of a block of
 * thinking before the call. The prefix tells the signature from those of Anthropic.
 */
const PREFIX = 'tool_use:';

export function callSignature(signature: string): string {
  return PREFIX + signature;
}

/** Returns undefined for the signature of thinking itself. */
export function readCallSignature(signature: string | undefined): string | undefined {
  return signature?.startsWith(PREFIX) ? signature.slice(PREFIX.length) : undefined;
}
