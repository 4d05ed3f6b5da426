/**
 * API keys of the gateway: their format, and the Secret that describes one.
 *
 * A generated key is `tg_`, 30 random base62 digits (178 bits) and the CRC-32 of all before, as 6
 * base62 digits. Scanners for secrets find keys by API_KEY_PATTERN, and tell them from look-alikes
 * by the checksum, without asking the gateway.
 */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';

const PREFIX = 'tg_';
const RANDOM_DIGITS = 30;
const CHECKSUM_DIGITS = 6;
const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** The largest multiple of 62 in a byte: bytes from here on would favour some digits. */
const BYTE_LIMIT = 248;

/** Matches generated keys in any text. */
export const API_KEY_PATTERN = /\btg_[0-9A-Za-z]{36}\b/g;

/** The label of Secrets that hold an API key; its value is `true`. */
export const API_KEY_LABEL = 'tallygate.dev/api-key';

/** The fields of such a Secret: the key itself, or `sha256:` and its digest in hexadecimal. */
export const API_KEY_FIELD = 'apiKey';
export const API_KEY_HASH_FIELD = 'keyHash';

/** Annotations of such a Secret. Groups are separated by commas; `expires` is an RFC 3339 time. */
export const API_KEY_ANNOTATIONS = {
  tenant: 'tallygate.dev/tenant',
  user: 'tallygate.dev/user',
  groups: 'tallygate.dev/groups',
  expires: 'tallygate.dev/expires',
} as const;

/** Returns a new key. `randomBytes` must be cryptographically secure. */
export function newApiKey(randomBytes: (count: number) => Uint8Array): string {
  let random = '';
  while (random.length < RANDOM_DIGITS) {
    for (const byte of randomBytes(RANDOM_DIGITS)) {
      if (byte < BYTE_LIMIT && random.length < RANDOM_DIGITS) {
        random += digits[byte % digits.length];
      }
    }
  }
  return `${PREFIX}${random}${checksum(PREFIX + random)}`;
}

/** Returns whether the text is a generated key with the right checksum. */
export function isGeneratedApiKey(text: string): boolean {
  const length = PREFIX.length + RANDOM_DIGITS;
  return (
    text.length === length + CHECKSUM_DIGITS &&
    text.startsWith(PREFIX) &&
    text.slice(length) === checksum(text.slice(0, length))
  );
}

/** Returns whether the text can be a key: 16 to 512 printable ASCII characters without spaces. */
export function isApiKeyText(text: string): boolean {
  return /^[!-~]{16,512}$/.test(text);
}

/** Returns the digest of a key in the form of `API_KEY_HASH_FIELD`. */
export function apiKeyHash(key: string): string {
  return `sha256:${createHash('sha256').update(key).digest('hex')}`;
}

function checksum(text: string): string {
  let rest = crc32(text);
  let result = '';
  for (let count = 0; count < CHECKSUM_DIGITS; count++) {
    result = digits[rest % digits.length] + result;
    rest = Math.floor(rest / digits.length);
  }
  return result;
}
