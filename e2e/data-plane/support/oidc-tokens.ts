/**
 * Signing keys of a test issuer and the tokens that it signs, sound ones and those of an attacker.
 */
import { type CryptoKey, exportJWK, exportSPKI, generateKeyPair, type JWK, SignJWT } from 'jose';

const KEY_ALGORITHMS = ['RS256', 'ES256', 'EdDSA'] as const;
const TOKEN_SECONDS = 300;

export type KeyAlgorithm = (typeof KEY_ALGORITHMS)[number];

export interface IssuerKey {
  readonly algorithm: KeyAlgorithm;
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
  readonly privateJwk: JWK;
  readonly publicJwk: JWK;
}

export interface TokenOptions {
  /** Added to the registered claims, and replaces those of the same name. */
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly issuer?: string;
  readonly audience?: string | readonly string[];
  /** Negative for a token that has expired. */
  readonly expiresInSeconds?: number;
  /** Positive for a token that is not valid yet. */
  readonly notBeforeInSeconds?: number;
  /** The algorithm in the header, which also selects the key. `none` leaves the signature empty. */
  readonly alg?: KeyAlgorithm | 'PS256' | 'HS256' | 'none';
  /** Replaces the key ID of the signing key in the header. */
  readonly kid?: string;
  /** Added to the header, and replaces its parameters of the same name. */
  readonly header?: Readonly<Record<string, unknown>>;
  /** Signs in place of the issuer's key. HS256 needs this: the secret, as for key confusion. */
  readonly key?: CryptoKey | Uint8Array;
}

/** Returns one new key for each algorithm. `generation` makes the key IDs differ. */
export function newIssuerKeys(generation: number): Promise<readonly IssuerKey[]> {
  return Promise.all(
    KEY_ALGORITHMS.map(async (algorithm) => {
      const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
      const kid = `${algorithm.toLowerCase()}-${generation}`;
      const names = { kid, alg: algorithm, use: 'sig' };
      return {
        algorithm,
        kid,
        privateKey,
        publicKey,
        privateJwk: { ...(await exportJWK(privateKey)), ...names },
        publicJwk: { ...(await exportJWK(publicKey)), ...names },
      };
    }),
  );
}

/** Returns the PEM text of the public key, which key confusion uses as an HS256 secret. */
export function publicKeyPem(key: IssuerKey): Promise<string> {
  return exportSPKI(key.publicKey);
}

export async function signToken(
  keys: readonly IssuerKey[],
  defaults: { readonly issuer: string; readonly audience: string },
  options: TokenOptions = {},
): Promise<string> {
  const alg = options.alg ?? 'RS256';
  const keyAlgorithm = alg === 'PS256' ? 'RS256' : alg;
  const issuerKey = keys.find(({ algorithm }) => algorithm === keyAlgorithm) ?? keys[0]!;
  const now = Math.floor(Date.now() / 1000);
  const header = { alg, typ: 'JWT', kid: options.kid ?? issuerKey.kid, ...options.header };
  const claims = {
    iss: options.issuer ?? defaults.issuer,
    aud: options.audience ?? defaults.audience,
    sub: 'ada',
    iat: now,
    nbf: now + (options.notBeforeInSeconds ?? 0),
    exp: now + (options.expiresInSeconds ?? TOKEN_SECONDS),
    ...options.claims,
  };
  if (alg === 'none') {
    return `${base64url(header)}.${base64url(claims)}.`;
  }
  const key = options.key ?? (await signingKey(issuerKey, alg));
  return new SignJWT(claims as Record<string, unknown>).setProtectedHeader(header).sign(key);
}

async function signingKey(issuerKey: IssuerKey, alg: string): Promise<CryptoKey | JWK> {
  if (alg === 'HS256') {
    throw new Error('a token with HS256 needs options.key');
  }
  // A CryptoKey is bound to one algorithm.
  return alg === issuerKey.algorithm ? issuerKey.privateKey : { ...(await exportJWK(issuerKey.privateKey)), alg };
}

function base64url(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
