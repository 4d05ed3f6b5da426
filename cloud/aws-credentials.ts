/**
 * AWS credentials of a source: its access key, or the identity of this process (web identity of a
 * ServiceAccount, EKS Pod Identity, environment), and then the role that it assumes.
 */
import type { AwsSource } from '../contract/cloud-tokens.ts';
import { type AwsCredentials, awsSigner } from '../runtime/aws-signer.ts';
import type { ExchangeContext } from './exchange-context.ts';
import { formRequest, jsonObject, xmlElement } from './token-endpoint.ts';

/** The longest session of a role that another role assumes. */
const SESSION_SECONDS = 3600;
const SESSION_NAME = 'tallygate';
const API_VERSION = '2011-06-15';

export async function awsCredentials(source: AwsSource, context: ExchangeContext): Promise<AwsCredentials> {
  const { region, accessKey, roleArn, externalId } = source;
  const own =
    accessKey === undefined
      ? await gatewayCredentials(region, context)
      : {
          id: accessKey.id,
          secret: accessKey.secret.reveal(),
          ...(accessKey.sessionToken && { sessionToken: accessKey.sessionToken.reveal() }),
        };
  return roleArn === undefined ? own : assumedRole(own, { region, roleArn, externalId }, context);
}

async function gatewayCredentials(region: string, context: ExchangeContext): Promise<AwsCredentials> {
  const { identity } = context;
  const [roleArn, tokenFile] = [identity.variable('AWS_ROLE_ARN'), identity.variable('AWS_WEB_IDENTITY_TOKEN_FILE')];
  if (roleArn !== undefined && tokenFile !== undefined) {
    return webIdentity(region, roleArn, identity.file(tokenFile), context);
  }
  const container = identity.variable('AWS_CONTAINER_CREDENTIALS_FULL_URI');
  if (container !== undefined) {
    return podIdentity(container, context);
  }
  const [id, secret] = [identity.variable('AWS_ACCESS_KEY_ID'), identity.variable('AWS_SECRET_ACCESS_KEY')];
  const sessionToken = identity.variable('AWS_SESSION_TOKEN');
  if (id === undefined || secret === undefined) {
    throw new Error('this process has no identity of AWS (AWS_WEB_IDENTITY_TOKEN_FILE is not set)');
  }
  return { id, secret, ...(sessionToken !== undefined && { sessionToken }) };
}

/** IAM roles for service accounts. The request needs no signature: the token proves the caller. */
async function webIdentity(
  region: string,
  roleArn: string,
  token: string,
  { send, signal }: ExchangeContext,
): Promise<AwsCredentials> {
  const fields = {
    Action: 'AssumeRoleWithWebIdentity',
    Version: API_VERSION,
    RoleArn: roleArn,
    RoleSessionName: SESSION_NAME,
    DurationSeconds: String(SESSION_SECONDS),
    WebIdentityToken: token,
  };
  return sessionIn(await send(formRequest(stsUrl(region), fields), signal));
}

async function podIdentity(url: string, { send, identity, signal }: ExchangeContext): Promise<AwsCredentials> {
  const tokenFile = identity.variable('AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE');
  const headers = tokenFile === undefined ? {} : { authorization: identity.file(tokenFile) };
  const found = jsonObject(await send({ method: 'GET', url, headers }, signal));
  const { AccessKeyId, SecretAccessKey, Token, Expiration } = found;
  return session([AccessKeyId, SecretAccessKey, Token, Expiration]);
}

interface AssumedRole {
  readonly region: string;
  readonly roleArn: string;
  readonly externalId: string;
}

async function assumedRole(
  credentials: AwsCredentials,
  { region, roleArn, externalId }: AssumedRole,
  { send, now, signal }: ExchangeContext,
): Promise<AwsCredentials> {
  const request = formRequest(stsUrl(region), {
    Action: 'AssumeRole',
    Version: API_VERSION,
    RoleArn: roleArn,
    RoleSessionName: SESSION_NAME,
    DurationSeconds: String(SESSION_SECONDS),
    ExternalId: externalId,
  });
  const { hostname } = new URL(request.url);
  const signed = await awsSigner(credentials, region, 'sts').sign(
    {
      method: 'POST',
      protocol: 'https:',
      hostname,
      path: '/',
      headers: { ...request.headers, host: hostname },
      body: request.body,
    },
    { signingDate: new Date(now()) },
  );
  return sessionIn(await send({ ...request, headers: signed.headers }, signal));
}

function stsUrl(region: string): string {
  return `https://sts.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}/`;
}

function sessionIn(xml: string): AwsCredentials {
  return session(['AccessKeyId', 'SecretAccessKey', 'SessionToken', 'Expiration'].map((name) => xmlElement(xml, name)));
}

function session([id, secret, sessionToken, expiration]: readonly unknown[]): AwsCredentials {
  const expiresAtMs = Date.parse(String(expiration));
  if (typeof id !== 'string' || typeof secret !== 'string' || typeof sessionToken !== 'string' || !(expiresAtMs > 0)) {
    throw new Error('the response has no temporary credentials');
  }
  return { id, secret, sessionToken, expiresAtMs };
}
