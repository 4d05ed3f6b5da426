/**
 * Access tokens of Google Cloud: for the key of a service account (RFC 7523), and for the gateway's
 * own identity as Application Default Credentials describe it.
 */
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { SignJWT } from 'jose';
import type { GoogleSource } from '../contract/cloud-tokens.ts';
import type { ExchangeContext } from './exchange-context.ts';
import { accessTokenIn, formRequest, type IssuedToken, issued, jsonObject } from './token-endpoint.ts';

const TOKEN_URL = 'https://oauth2.googleapis.com/token';
const STS_URL = 'https://sts.googleapis.com/v1/token';
const METADATA_HOST = 'metadata.google.internal';
const SCOPE = 'https://www.googleapis.com/auth/cloud-platform';
/** The longest that Google allows. */
const LIFETIME_SECONDS = 3600;

export async function googleToken({ keyFile }: GoogleSource, context: ExchangeContext): Promise<IssuedToken> {
  if (keyFile !== undefined) {
    return serviceAccountToken(serviceAccountKey(keyFile.reveal(), 'the value in the Secret'), context);
  }
  const path = context.identity.variable('GOOGLE_APPLICATION_CREDENTIALS');
  if (path === undefined) {
    return metadataToken(context);
  }
  const text = context.identity.file(path);
  const { type } = jsonIn(text);
  return type === 'external_account'
    ? federatedToken(jsonIn(text) as unknown as ExternalAccount, context)
    : serviceAccountToken(serviceAccountKey(text, `${path} (GOOGLE_APPLICATION_CREDENTIALS)`), context);
}

interface ServiceAccountKey {
  readonly email: string;
  readonly keyId: string;
  readonly privateKey: KeyObject;
}

/**
 * Reads a key file. Its `token_uri` is not used: the author of a Secret would decide where this
 * process sends requests.
 */
function serviceAccountKey(text: string, what: string): ServiceAccountKey {
  const { type, client_email: email, private_key_id: keyId, private_key: pem } = jsonIn(text);
  const privateKey = typeof pem === 'string' ? privateKeyIn(pem) : undefined;
  if (type !== 'service_account' || typeof email !== 'string' || typeof keyId !== 'string' || !privateKey) {
    throw new Error(`${what} is not the JSON file of a key of a service account`);
  }
  return { email, keyId, privateKey };
}

function privateKeyIn(pem: string): KeyObject | undefined {
  try {
    const key = createPrivateKey(pem);
    return key.asymmetricKeyType === 'rsa' ? key : undefined;
  } catch {
    return undefined;
  }
}

/** Returns an empty object for a text that is not a JSON object. */
function jsonIn(text: string): Readonly<Record<string, unknown>> {
  try {
    return jsonObject(text);
  } catch {
    return {};
  }
}

async function serviceAccountToken(
  { email, keyId, privateKey }: ServiceAccountKey,
  { send, now, signal }: ExchangeContext,
): Promise<IssuedToken> {
  const seconds = Math.floor(now() / 1000);
  const assertion = await new SignJWT({ scope: SCOPE })
    .setProtectedHeader({ alg: 'RS256', typ: 'JWT', kid: keyId })
    .setIssuer(email)
    .setSubject(email)
    .setAudience(TOKEN_URL)
    .setIssuedAt(seconds)
    .setExpirationTime(seconds + LIFETIME_SECONDS)
    .sign(privateKey);
  const fields = { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion };
  return accessTokenIn(await send(formRequest(TOKEN_URL, fields), signal), now());
}

/** The credential file of workload identity federation, which the operator mounts. */
interface ExternalAccount {
  readonly audience: string;
  readonly subject_token_type?: string;
  readonly token_url?: string;
  readonly service_account_impersonation_url?: string;
  readonly credential_source?: {
    readonly file?: string;
    readonly format?: { readonly type?: string; readonly subject_token_field_name?: string };
  };
}

async function federatedToken(account: ExternalAccount, context: ExchangeContext): Promise<IssuedToken> {
  const { send, now, signal } = context;
  const fields = {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    audience: account.audience,
    scope: SCOPE,
    requested_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    subject_token_type: account.subject_token_type ?? 'urn:ietf:params:oauth:token-type:jwt',
    subject_token: subjectToken(account, context),
  };
  const exchanged = accessTokenIn(await send(formRequest(account.token_url ?? STS_URL, fields), signal), now());
  const url = account.service_account_impersonation_url;
  if (url === undefined) {
    return exchanged;
  }
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${exchanged.token}` };
  const body = JSON.stringify({ scope: [SCOPE], lifetime: `${LIFETIME_SECONDS}s` });
  const { accessToken, expireTime } = jsonObject(await send({ method: 'POST', url, headers, body }, signal));
  return issued(String(accessToken ?? ''), Date.parse(String(expireTime)));
}

function subjectToken({ credential_source: source }: ExternalAccount, { identity }: ExchangeContext): string {
  if (source?.file === undefined) {
    throw new Error('the external account of GOOGLE_APPLICATION_CREDENTIALS has no credential_source.file');
  }
  const text = identity.file(source.file);
  return source.format?.type === 'json'
    ? String(jsonObject(text)[source.format.subject_token_field_name ?? ''] ?? '')
    : text;
}

/** The service account of a machine of Google Cloud, or of a pod with workload identity of GKE. */
async function metadataToken({ send, identity, now, signal }: ExchangeContext): Promise<IssuedToken> {
  const host = identity.variable('GCE_METADATA_HOST') ?? METADATA_HOST;
  const url = `http://${host}/computeMetadata/v1/instance/service-accounts/default/token`;
  try {
    return accessTokenIn(await send({ method: 'GET', url, headers: { 'metadata-flavor': 'Google' } }, signal), now());
  } catch (error) {
    throw new Error(
      `this process has no identity of Google Cloud (GOOGLE_APPLICATION_CREDENTIALS is not set; ${error instanceof Error ? error.message : error})`,
    );
  }
}
