/**
 * Reads the keys of a JSON Web Key Set (RFC 7517) that can verify tokens, without secrets, and
 * names the sources of such sets.
 */
import type { PublicJwk } from './access-policy.ts';

/** Providers list two or three keys; each is tried for a token without `kid`. */
const MAX_KEYS = 64;
/** A modulus of RSA with 8,192 bits in base64url, and any identifier. */
const MAX_MEMBER_CHARACTERS = 1366;
/**
 * Four bytes; 65537 is usual. OpenSSL verifies a signature in up to 1 ms with these bounds, and in
 * 36 ms without: whoever chooses the keys could keep all threads busy.
 */
const MAX_EXPONENT_CHARACTERS = 6;

/** The members of public keys by `kty` (RFC 7518, section 6; RFC 8037). */
const keyMembers: Readonly<Record<string, readonly string[]>> = {
  RSA: ['n', 'e'],
  EC: ['crv', 'x', 'y'],
  OKP: ['crv', 'x'],
};
const commonMembers = ['kty', 'kid', 'use', 'alg'] as const;

/**
 * Where the public keys of an issuer come from: the URL of a key set, or the metadata document of
 * OpenID Connect Discovery, which must name `issuer` and has the URL of the keys.
 */
export type KeySource =
  | { readonly type: 'Discovery'; readonly url: string; readonly issuer: string }
  | { readonly type: 'URI'; readonly url: string };

/** Where browsers log in and out (OpenID Connect Discovery 1.0, section 3). */
export interface IssuerEndpoints {
  readonly authorization: string;
  readonly token: string;
  /** Absent: the issuer has no logout. */
  readonly endSession?: string;
}

/**
 * Identifies a source. A URL does not: of two issuers that differ in a final slash, or of a key set
 * at the URL of a discovery document, one would take the place of the other.
 */
export function keySourceId(source: KeySource): string {
  return source.type === 'URI' ? source.url : `${source.url} of ${source.issuer}`;
}

/**
 * Returns the public keys for signatures. Leaves out symmetric keys, keys for encryption and
 * incomplete keys; private members of the others are removed. Returns undefined for a value that is
 * not a key set.
 */
export function publicKeysOf(keySet: unknown): readonly PublicJwk[] | undefined {
  const keys: unknown = isObject(keySet) ? keySet['keys'] : undefined;
  if (!Array.isArray(keys)) {
    return undefined;
  }
  return keys
    .map(publicKey)
    .filter((key) => key !== undefined)
    .slice(0, MAX_KEYS);
}

function publicKey(key: unknown): PublicJwk | undefined {
  if (!isObject(key)) {
    return undefined;
  }
  const required = Object.hasOwn(keyMembers, String(key['kty'])) ? keyMembers[String(key['kty'])]! : undefined;
  if (required === undefined || !required.every((member) => isText(key[member]))) {
    return undefined;
  }
  if (key['kty'] === 'RSA' && String(key['e']).length > MAX_EXPONENT_CHARACTERS) {
    return undefined;
  }
  if ((key['use'] ?? 'sig') !== 'sig' || !mayVerify(key['key_ops'])) {
    return undefined;
  }
  const members = [...commonMembers, ...required].filter((member) => isText(key[member]));
  return Object.fromEntries(members.map((member) => [member, String(key[member])]));
}

function mayVerify(operations: unknown): boolean {
  return operations === undefined || (Array.isArray(operations) && operations.includes('verify'));
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_MEMBER_CHARACTERS;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
