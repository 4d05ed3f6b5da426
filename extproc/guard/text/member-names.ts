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
    if (BASE64[bytes[at]!] !== 1 && !isEscapedSlash(bytes, at)) {
      return false;
    }
  }
  return true;
}

/** Shorter payloads cost nothing, and are looked at. */
const LEAST_PAYLOAD_BYTES = 64;

const LONGEST_PREFIX = 64;

/** Has no room for a value of anybody. */
const DATA_URL = /^data:(?:image|audio|video|application|text)\\?\/[a-z.+-]{1,32}\d{0,2};base64,/;

/** Returns whether contents of a string are a data URL with nothing but base64 as its data. */
export function isDataUrl(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start < LEAST_PAYLOAD_BYTES + LONGEST_PREFIX || bytes[start] !== 0x64) {
    return false;
  }
  const prefix = DATA_URL.exec(Buffer.from(bytes.subarray(start, start + LONGEST_PREFIX)).toString('latin1'));
  if (prefix === null) {
    return false;
  }
  let last = end;
  while (bytes[last - 1] === 0x3d && end - last < 2) {
    last--;
  }
  for (let at = start + prefix[0].length; at < last; at++) {
    if (STANDARD_BASE64[bytes[at]!] !== 1 && !isEscapedSlash(bytes, at)) {
      return false;
    }
  }
  return true;
}

/** Other escapes could spell anything. */
function isEscapedSlash(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 0x5c && bytes[at + 1] === 0x2f;
}

/** Both alphabets, with padding. */
const BASE64 = Uint8Array.from({ length: 256 }, (_, byte) =>
  /[A-Za-z0-9+/=_-]/.test(String.fromCharCode(byte)) ? 1 : 0,
);

const STANDARD_BASE64 = Uint8Array.from({ length: 256 }, (_, byte) =>
  /[A-Za-z0-9+/]/.test(String.fromCharCode(byte)) ? 1 : 0,
);

/** Whether a member of an object of the APIs holds the URL of an image. */
export function isImageUrl(object: string, member: string): boolean {
  return member === 'image_url' || (member === 'url' && object === 'image_url');
}

/** Members that hold signatures or encrypted reasoning. */
export const sealedMembers: ReadonlySet<string> = new Set([
  ...['signature', 'thoughtSignature', 'thought_signature', 'encrypted_content', 'encrypted_index'],
  ...['encrypted_stdout'],
]);

/** Parts whose `data` is sealed reasoning. */
export const sealedTypes: ReadonlySet<string> = new Set(['redacted_thinking', 'reasoning.encrypted']);
