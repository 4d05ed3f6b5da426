/**
 * The names that the schemas of APIs give to members. A name is no text of anybody. A string is an
 * identifier only where a schema has one: elsewhere, a member of this name holds what the client or
 * the model wants.
 */

/** Values of `type` that only say what an object is, also in JSON Schema. */
const typeValues: ReadonlySet<string> = new Set([
  ...['object', 'string', 'number', 'integer', 'boolean', 'array', 'null'],
  ...['OBJECT', 'STRING', 'NUMBER', 'INTEGER', 'BOOLEAN', 'ARRAY', 'NULL'],
  ...['text', 'input_text', 'output_text', 'summary_text', 'reasoning_text', 'refusal', 'image', 'image_url'],
  ...['input_image', 'computer_screenshot', 'file', 'input_file', 'document', 'function', 'custom', 'exit'],
]);

const LONGEST_TYPE = 19;

/** Whether these contents of a string are a type that says nothing else. */
export function isTypeName(bytes: Uint8Array, start: number, end: number): boolean {
  return end - start <= LONGEST_TYPE && typeValues.has(Buffer.from(bytes.subarray(start, end)).toString('latin1'));
}

/** Shorter signatures are none, and are looked at. */
const LEAST_ENCODED_BYTES = 32;

/** Returns whether contents of a string can be nothing but encoded bytes: long, and base64. */
export function isEncoded(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start < LEAST_ENCODED_BYTES) {
    return false;
  }
  for (let at = start; at < end; at++) {
    if (BASE64[bytes[at]!] !== 1) {
      return false;
    }
  }
  return true;
}

/** Both alphabets, with padding; a slash may be escaped. */
const BASE64 = Uint8Array.from({ length: 256 }, (_, byte) =>
  /[A-Za-z0-9+/=_\\-]/.test(String.fromCharCode(byte)) ? 1 : 0,
);

/** Members that hold signatures or encrypted reasoning. */
export const sealedMembers: ReadonlySet<string> = new Set([
  ...['signature', 'thoughtSignature', 'thought_signature', 'encrypted_content', 'encrypted_index'],
  ...['encrypted_stdout'],
]);

/** Parts whose `data` is sealed reasoning. */
export const sealedTypes: ReadonlySet<string> = new Set(['redacted_thinking', 'reasoning.encrypted']);
