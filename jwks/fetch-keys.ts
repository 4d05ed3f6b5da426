/**
 * Fetches the public keys of an issuer: by its discovery document, or from the URL of a key set.
 */
import type { PublicJwk } from '../contract/access-policy.ts';
import { type IssuerEndpoints, type KeySource, publicKeysOf } from '../contract/public-keys.ts';
import { type DestinationGuard, hostOf, refusedText, urlOf } from '../runtime/guarded-request.ts';
import { getJson } from './guarded-get.ts';

/** As in the schema of policies. */
const MAX_URL_CHARACTERS = 2048;

export interface FetchedKeys {
  /** Empty: the issuer has withdrawn all keys. */
  readonly keys: readonly PublicJwk[];
  /** Of a discovery document that has them. */
  readonly endpoints: IssuerEndpoints | undefined;
  /** How long the server allows to use the keys without asking again, if it says so. */
  readonly maxAgeMs: number | undefined;
}

/** Rejects with the reason in plain words. */
export async function fetchKeys(source: KeySource, guard: DestinationGuard, signal: AbortSignal): Promise<FetchedKeys> {
  const { keysUrl, endpoints } =
    source.type === 'URI'
      ? { keysUrl: source.url, endpoints: undefined }
      : await discovered(source.url, source.issuer, guard, signal);
  const { value, maxAgeMs } = await getJson(keysUrl, guard, signal);
  const keys = publicKeysOf(value);
  if (keys === undefined) {
    throw new Error('the answer is not a JSON Web Key Set');
  }
  return { keys, endpoints, maxAgeMs };
}

interface DiscoveredIssuer {
  readonly keysUrl: string;
  readonly endpoints: IssuerEndpoints | undefined;
}

/**
 * Reads a discovery document (OpenID Connect Discovery 1.0, section 4). The document must be that
 * of the issuer, because whoever can serve another one could choose the keys.
 */
async function discovered(
  url: string,
  issuer: string,
  guard: DestinationGuard,
  signal: AbortSignal,
): Promise<DiscoveredIssuer> {
  const { value } = await getJson(url, guard, signal);
  const document = typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  if (document['issuer'] !== issuer) {
    throw new Error('the discovery document is of another issuer');
  }
  const keysUrl = document['jwks_uri'];
  if (typeof keysUrl !== 'string') {
    throw new Error('the discovery document has no jwks_uri');
  }
  const host = hostOf(urlOf(url));
  const keysHost = hostOf(urlOf(keysUrl));
  const refusal = host === keysHost ? undefined : guard.linkRefusal(keysHost);
  if (refusal !== undefined) {
    throw new Error(refusedText(keysHost, refusal));
  }
  const authorization = webUrl(document['authorization_endpoint']);
  const token = webUrl(document['token_endpoint']);
  const endSession = webUrl(document['end_session_endpoint']);
  if (authorization === undefined || token === undefined || !maySendTo(new URL(token), host, guard)) {
    return { keysUrl, endpoints: undefined };
  }
  const endpoints = { authorization, token };
  return { keysUrl, endpoints: endSession === undefined ? endpoints : { ...endpoints, endSession } };
}

/**
 * Whether Envoy may send requests, with the secret of the client, to a URL in the document of
 * another host: by the rules for URLs in policies.
 */
function maySendTo(url: URL, issuerHost: string, guard: DestinationGuard): boolean {
  const host = hostOf(url);
  return (
    (url.protocol === 'https:' || guard.allowsPlainHttp(host)) &&
    guard.refusal(host, host) === undefined &&
    (host === issuerHost || guard.linkRefusal(host) === undefined)
  );
}

/** Returns a URL of the schemes that browsers and Envoy follow. */
function webUrl(value: unknown): string | undefined {
  const isUrl = typeof value === 'string' && value.length <= MAX_URL_CHARACTERS && URL.canParse(value);
  return isUrl && /^https?:$/.test(new URL(value).protocol) ? value : undefined;
}
