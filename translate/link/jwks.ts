/** Reads JSON Web Key Sets (RFC 7517): only public keys for signatures, and only known members. */
import type { PublicJwk } from '../../contract/policy.ts';
import { isRecord } from '../read/untyped-object.ts';

/** Each key costs a line of the policy; issuers have two to ten. */
const MAX_KEYS = 64;
const MAX_MEMBER_CHARACTERS = 4096;

const keyTypes: readonly unknown[] = ['RSA', 'EC', 'OKP'];
const publicMembers = ['kty', 'kid', 'use', 'alg', 'crv', 'x', 'y', 'n', 'e'];

/** Returns the public keys of a key set, or why it cannot be used, as the end of a sentence. */
export function publicKeys(keySet: unknown): { readonly keys: readonly PublicJwk[] } | { readonly fault: string } {
  const listed = isRecord(keySet) ? keySet['keys'] : undefined;
  if (!Array.isArray(listed)) {
    return { fault: 'is not a JSON Web Key Set: an object with a list `keys`' };
  }
  const usable = listed.filter(isRecord).filter(({ kty, use }) => keyTypes.includes(kty) && use !== 'enc');
  if (usable.some((key) => 'd' in key)) {
    return { fault: 'has a private key' };
  }
  if (usable.length === 0) {
    return { fault: 'has no public key for signatures (RSA, EC or OKP)' };
  }
  if (usable.length > MAX_KEYS) {
    return { fault: `has more than ${MAX_KEYS} keys` };
  }
  return { keys: usable.map(publicMembersOf) };
}

function publicMembersOf(key: Readonly<Record<string, unknown>>): PublicJwk {
  return Object.fromEntries(
    publicMembers.flatMap((name) => {
      const value = key[name];
      return typeof value === 'string' && value.length <= MAX_MEMBER_CHARACTERS ? [[name, value]] : [];
    }),
  );
}
