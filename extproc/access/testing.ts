/** Access policies, keys and tokens for tests. */
import { createHash } from 'node:crypto';
import { type CryptoKey, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import type {
  AccessPolicy,
  ApiKey,
  ApiKeyShard,
  Authenticator,
  JwtAuthenticator,
  PublicJwk,
} from '../../contract/access-policy.ts';
import { isFailure } from '../errors.ts';
import type { HeaderList } from '../exchange.ts';
import { atOnce } from '../policy/slices.ts';
import { indexingApiKeys } from './api-keys.ts';
import { compileAccessPolicy } from './compile.ts';
import { type AccessServices, type Authentication, authenticate, type CallerIdentity } from './decide.ts';
import { Presented } from './presented.ts';
import { TokenVerifier } from './token-verifier.ts';

export const ISSUER = 'https://login.example.org';
export const AUDIENCE = 'ai-gateway';
/** The time of the tests, in seconds. */
export const NOW = 1_800_000_000;

export interface SigningKey {
  readonly algorithm: string;
  readonly privateKey: CryptoKey;
  readonly jwk: PublicJwk;
}

export async function newSigningKey(algorithm = 'ES256', kid = 'one'): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
  const { kty, crv, x, y, n, e } = await exportJWK(publicKey);
  const members = Object.entries({ kty, crv, x, y, n, e, kid, alg: algorithm, use: 'sig' });
  const jwk = Object.fromEntries(members.filter(([, value]) => value !== undefined)) as PublicJwk;
  return { algorithm, privateKey, jwk };
}

export function claimsWith(changes: object = {}): JWTPayload {
  const usual = { iss: ISSUER, aud: AUDIENCE, exp: NOW + 600, team: 'search', email: 'ada@example.org' };
  return { ...usual, groups: ['engineering'], ...changes };
}

export function signedToken(
  { privateKey, algorithm }: SigningKey,
  claims: JWTPayload = claimsWith(),
  header: Readonly<Record<string, unknown>> = { kid: 'one' },
): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: algorithm, ...header }).sign(privateKey);
}

export function jwtAuthenticator(
  keys: readonly PublicJwk[],
  changes: Partial<JwtAuthenticator> = {},
): JwtAuthenticator {
  return {
    type: 'JWT',
    id: 'default/internal/sso',
    issuer: ISSUER,
    audiences: [AUDIENCE],
    algorithms: ['RS256', 'ES256'],
    clockSkewSeconds: 30,
    keys,
    keysUrl: `${ISSUER}/keys`,
    identity: { tenant: { claim: 'team' }, user: { claim: 'email' }, groups: { claim: 'groups' } },
    ...changes,
  };
}

export const keyAuthenticator: Authenticator = { type: 'APIKey', id: 'default/internal/keys' };

export function accessPolicy(
  authenticators: readonly Authenticator[],
  changes: Partial<AccessPolicy> = {},
): AccessPolicy {
  return {
    name: 'default/internal',
    authenticators,
    allow: [{ name: 'all', principals: [{ authenticated: true }] }],
    revokeStreams: false,
    ...changes,
  };
}

export function digestOf(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}

export function apiKey(key: string, changes: Partial<ApiKey> = {}): ApiKey {
  return {
    id: `default/${key}`,
    digest: digestOf(key),
    authenticators: ['default/internal/keys'],
    tenant: 'search',
    user: 'batch',
    groups: [],
    ...changes,
  };
}

export function shardsOf(keys: readonly ApiKey[]): readonly ApiKeyShard[] {
  const shards = Map.groupBy(keys, ({ digest }) => digest.slice(0, 2));
  return [...shards].map(([shard, ofShard]) => ({ shard, keys: ofShard }));
}

export interface AccessRig {
  nowMs: number;
  /** URLs of keys that were asked for. */
  readonly requested: string[];
  readonly verifier: TokenVerifier;
  services(keys?: readonly ApiKey[]): AccessServices;
  /** Authenticates a request, with the tokens verified. */
  authenticate(
    policies: readonly AccessPolicy[],
    headers: HeaderList,
    more?: { readonly keys?: readonly ApiKey[]; readonly attributes?: Readonly<Record<string, string>> },
  ): Promise<Exclude<Authentication, Promise<void>>>;
}

export function newAccessRig(): AccessRig {
  const requested: string[] = [];
  const rig: AccessRig = {
    nowMs: NOW * 1000,
    requested,
    verifier: new TokenVerifier({ nowMs: () => rig.nowMs, requestKeys: (url) => requested.push(url) }),
    services: (keys = []) => ({
      keys: atOnce(indexingApiKeys(shardsOf(keys))),
      verifier: rig.verifier,
      nowMs: rig.nowMs,
    }),
    async authenticate(policies, headers, { keys, attributes = {} } = {}) {
      const presented = new Presented(headers, new Map(Object.entries(attributes)));
      const compiled = policies.map(compileAccessPolicy);
      const services = rig.services(keys);
      for (;;) {
        const result = authenticate(compiled, presented, services);
        if (!(result instanceof Promise)) {
          return result;
        }
        await result;
      }
    },
  };
  return rig;
}

export function bearer(token: string): HeaderList {
  return [['authorization', `Bearer ${token}`]];
}

/** Returns the identity. Throws for a failure. */
export function identified(result: Exclude<Authentication, Promise<void>>): CallerIdentity {
  if (isFailure(result)) {
    throw new Error(`${result.code}: ${result.message}`);
  }
  return result;
}
