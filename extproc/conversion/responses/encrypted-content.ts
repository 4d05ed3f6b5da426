/**
 * What the client echoes in `encrypted_content` of a reasoning item. The prefix says what was
 * signed, and tells it from reasoning that OpenAI has encrypted, whose base64 has no colon.
 */
const PREFIXES = { thinking: 'thinking:', redacted: 'redacted_thinking:', call: 'tool_call:' } as const;

interface SignedContent {
  /** `call`: the value signs the tool call that follows (Gemini). */
  readonly signs: keyof typeof PREFIXES;
  readonly value: string;
}

export function encryptedContent({ signs, value }: SignedContent): string {
  return PREFIXES[signs] + value;
}

/** Returns undefined for what another server has encrypted. */
export function readEncryptedContent(content: string): SignedContent | undefined {
  for (const signs of ['thinking', 'redacted', 'call'] as const) {
    if (content.startsWith(PREFIXES[signs])) {
      return { signs, value: content.slice(PREFIXES[signs].length) };
    }
  }
  return undefined;
}
