/** Reads the keys of a JSON Web Key Set (RFC 7517) that can verify tokens, without secrets. */
import type { PublicJwk } from './policy.ts';

/** Providers list two or three keys; each is tried for a token without `kid`. */
const MAX_KEYS = 64;
/** The modulus of RSA with 16,384 bits has 2,731 characters. */
const MAX_MEMBER_CHARACTERS = 4096;

/** The members of public keys by `kty` (RFC 7518, section 6; RFC 8037). */
const keyMembers: Readonly<Record<string, readonly string[]>> = {
  RSA: ['n', 'e'],
  EC: ['crv', 'x', 'y'],
  OKP: ['crv', 'x'],
};
const commonMembers = ['kty', 'kid', 'use', 'alg'] as const;

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
