/**
 * Short-term API keys of Amazon Bedrock
 * (https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys.html): a request that is signed in
 * advance, which Bedrock takes as a bearer token in its region. The access key stays in this
 * process. See docs/decisions/0011-bedrock-bearer-tokens.md.
 */
import type { AwsSource } from '../contract/cloud-tokens.ts';
import { type AwsCredentials, awsSigner } from '../runtime/aws-signer.ts';
import { awsCredentials } from './aws-credentials.ts';
import type { ExchangeContext } from './exchange-context.ts';
import { type IssuedToken, issued } from './token-endpoint.ts';

const HOST = 'bedrock.amazonaws.com';
const PREFIX = 'bedrock-api-key-';
/** At most 12 hours are allowed; a leaked token should not last that long. */
const LIFETIME_SECONDS = 3600;

export async function bedrockToken(source: AwsSource, context: ExchangeContext): Promise<IssuedToken> {
  const credentials = await awsCredentials(source, context);
  const nowMs = context.now();
  // The token ends with the session of temporary credentials.
  const endsAtMs = Math.min(credentials.expiresAtMs ?? Number.POSITIVE_INFINITY, nowMs + LIFETIME_SECONDS * 1000);
  return issued(await signedKey(source.region, credentials, nowMs), endsAtMs);
}

async function signedKey(region: string, credentials: AwsCredentials, nowMs: number): Promise<string> {
  const signer = awsSigner(credentials, region, 'bedrock');
  const request = {
    method: 'POST',
    protocol: 'https:',
    hostname: HOST,
    path: '/',
    query: { Action: 'CallWithBearerToken' },
    headers: { host: HOST },
  };
  const { query = {} } = await signer.presign(request, {
    signingDate: new Date(nowMs),
    expiresIn: LIFETIME_SECONDS,
  });
  const parameters = Object.entries(query).map(([name, value]) => `${encode(name)}=${encode(String(value))}`);
  const url = `${HOST}/?${[...parameters, 'Version=1'].join('&')}`;
  return `${PREFIX}${Buffer.from(url).toString('base64')}`;
}

/** Percent-encodes as SigV4 requires (RFC 3986). */
function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (each) => `%${each.charCodeAt(0).toString(16).toUpperCase()}`);
}
