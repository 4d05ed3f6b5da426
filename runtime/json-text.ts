/**
 * Returns JSON that every reader treats as one line of printable text. JSON.stringify escapes lone
 * surrogates, but not DEL, the C1 controls (a terminal reads U+009B as an escape sequence), the
 * line separators U+2028 and U+2029, and the characters that change the direction of text.
 */
const UNESCAPED = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;
const ALL_UNESCAPED = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

export function jsonText(value: unknown): string {
  return escapeControls(JSON.stringify(value));
}

/** Escapes these characters in JSON, where they occur in strings only. */
export function escapeControls(json: string): string {
  if (!UNESCAPED.test(json)) {
    return json;
  }
  return json.replace(ALL_UNESCAPED, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
