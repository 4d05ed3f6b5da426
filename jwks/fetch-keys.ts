/** Fetches the public keys of an issuer: by its discovery document, or from the URL of a key set. */
import type { PublicJwk } from '../contract/policy.ts';
import { publicKeysOf } from '../contract/public-keys.ts';
import { type DestinationGuard, getJson } from './guarded-get.ts';

/** Where the keys of an authenticator come from. */
export interface KeySource {
  readonly url: string;
  /** If present, `url` is the discovery document of this issuer; else of a key set. */
  readonly issuer?: string;
}

export interface FetchedKeys {
  /** Empty: the issuer has withdrawn all keys. */
  readonly keys: readonly PublicJwk[];
  /** How long the server allows to use the keys without asking again, if it says so. */
  readonly maxAgeMs: number | undefined;
}

/** Rejects with the reason in plain words. */
export async function fetchKeys(
  { url, issuer }: KeySource,
  guard: DestinationGuard,
  signal: AbortSignal,
): Promise<FetchedKeys> {
  const keysUrl = issuer === undefined ? url : await keysUrlOf(url, issuer, guard, signal);
  const { value, maxAgeMs } = await getJson(keysUrl, guard, signal);
  const keys = publicKeysOf(value);
  if (keys === undefined) {
    throw new Error('the answer is not a JSON Web Key Set');
  }
  return { keys, maxAgeMs };
}

/**
 * Returns `jwks_uri` of a discovery document (OpenID Connect Discovery 1.0, section 4). The document
 * must be that of the issuer, because whoever can serve another one could choose the keys.
 */
async function keysUrlOf(url: string, issuer: string, guard: DestinationGuard, signal: AbortSignal): Promise<string> {
  const { value } = await getJson(url, guard, signal);
  const document = typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  if (document['issuer'] !== issuer) {
    throw new Error('the discovery document is of another issuer');
  }
  if (typeof document['jwks_uri'] !== 'string') {
    throw new Error('the discovery document has no jwks_uri');
  }
  return document['jwks_uri'];
}
