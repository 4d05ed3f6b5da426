/**
 * JSON that is one line, and text, for everything that reads it: JSON itself lets DEL, the C1
 * controls (a terminal takes U+009B for an escape sequence) and the line separators U+2028 and
 * U+2029 stand as they are. Half surrogates `JSON.stringify` escapes by itself.
 */
const UNESCAPED = /[\u007f-\u009f\u2028\u2029]/;
const ALL_UNESCAPED = /[\u007f-\u009f\u2028\u2029]/g;

export function jsonText(value: unknown): string {
  return escapeControls(JSON.stringify(value));
}

/** `json`: where these characters stand in strings only, as in all JSON. */
export function escapeControls(json: string): string {
  if (!UNESCAPED.test(json)) {
    return json;
  }
  return json.replace(ALL_UNESCAPED, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
