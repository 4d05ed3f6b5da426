/**
 * Checks a token without cryptography: whether an authenticator could accept it, and which of its
 * keys may have signed it. Ignores keys that the token itself brings or names (`jwk`, `jku`, `x5u`,
 * `x5c`).
 */
import { hash } from 'node:crypto';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import type { JwtAuthenticator, PublicJwk } from '../../contract/access-policy.ts';

/** Keys that are tried for one token without `kid`. */
const MAX_CANDIDATES = 4;

/** The key that an algorithm needs. No other algorithm is accepted, whatever the policy lists. */
const keyTypes: Readonly<Record<string, { readonly kty: string; readonly crv?: string }>> = {
  RS256: { kty: 'RSA' },
  RS384: { kty: 'RSA' },
  RS512: { kty: 'RSA' },
  PS256: { kty: 'RSA' },
  PS384: { kty: 'RSA' },
  PS512: { kty: 'RSA' },
  ES256: { kty: 'EC', crv: 'P-256' },
  ES384: { kty: 'EC', crv: 'P-384' },
  ES512: { kty: 'EC', crv: 'P-521' },
  EdDSA: { kty: 'OKP', crv: 'Ed25519' },
  Ed25519: { kty: 'OKP', crv: 'Ed25519' },
};

/**
 * Types of tokens that identify a caller: plain, and access tokens (RFC 9068). Others of the same
 * issuer, such as logout tokens, do not.
 */
const tokenTypes: readonly string[] = ['jwt', 'application/jwt', 'at+jwt', 'application/at+jwt'];

/** Three parts in base64url, as RFC 7515 serializes a signed token. */
const COMPACT = /^[\w-]+\.[\w-]+\.[\w-]+$/;

export interface CompiledJwt {
  readonly authenticator: JwtAuthenticator;
  /** Equal for two authenticators only if they accept the same tokens for the same callers. */
  readonly identity: string;
}

export function compileJwt(authenticator: JwtAuthenticator): CompiledJwt {
  return { authenticator, identity: hash('sha256', JSON.stringify(authenticator), 'base64url') };
}

export type TokenCheck =
  | { readonly type: 'refused' }
  /** No key has the `kid` of the token. */
  | { readonly type: 'unknown-key' }
  | { readonly type: 'candidates'; readonly algorithm: string; readonly keys: readonly PublicJwk[] };

const refused: TokenCheck = { type: 'refused' };

export function checkToken(token: string, { authenticator }: CompiledJwt): TokenCheck {
  if (!COMPACT.test(token)) {
    return refused;
  }
  const { alg, kid, typ } = headerOf(token);
  if (typeof alg !== 'string' || !authenticator.algorithms.includes(alg) || !Object.hasOwn(keyTypes, alg)) {
    return refused;
  }
  if (typ !== undefined && !(typeof typ === 'string' && tokenTypes.includes(typ.toLowerCase()))) {
    return refused;
  }
  if ((kid !== undefined && typeof kid !== 'string') || issuerOf(token) !== authenticator.issuer) {
    return refused;
  }
  const usable = authenticator.keys.filter((key) => isUsable(key, alg));
  const keys = kid === undefined ? usable : usable.filter((key) => key['kid'] === kid);
  if (keys.length > 0) {
    return { type: 'candidates', algorithm: alg, keys: keys.slice(0, MAX_CANDIDATES) };
  }
  return kid === undefined ? refused : { type: 'unknown-key' };
}

function headerOf(token: string): Readonly<Record<string, unknown>> {
  try {
    return decodeProtectedHeader(token);
  } catch {
    return {};
  }
}

/** Returns the issuer that the token names, which is not verified yet. */
function issuerOf(token: string): unknown {
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}

function isUsable(key: PublicJwk, algorithm: string): boolean {
  const { kty, crv } = keyTypes[algorithm]!;
  return (
    key['kty'] === kty &&
    (crv === undefined || key['crv'] === crv) &&
    (key['alg'] === undefined || key['alg'] === algorithm || (kty === 'OKP' && crv === 'Ed25519')) &&
    (key['use'] === undefined || key['use'] === 'sig') &&
    (key['key_ops'] === undefined || key['key_ops'].includes('verify')) &&
    key['d'] === undefined
  );
}
