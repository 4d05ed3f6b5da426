import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { AwsSource, EntraSource, GoogleSource, TokenSource } from '../contract/cloud-tokens.ts';
import { verifiedBedrockKey } from '../fixtures/clouds/bedrock-key.ts';
import {
  AWS_KEY,
  ENTRA,
  GOOGLE,
  GOOGLE_POOL,
  ROLE,
  TokenEndpoints,
  WEB_IDENTITY_ROLE,
} from '../fixtures/clouds/token-endpoints.ts';
import { exchangeToken } from './exchange.ts';
import { newGatewayIdentity } from './gateway-identity.ts';
import { newSendRequest } from './token-endpoint.ts';

const NOW_MS = Date.parse('2026-11-27T12:00:00Z');
const HOUR_MS = 3_600_000;
const hidden = (text: string) => ({ reveal: () => text });

describe('exchanges for tokens', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tallygate-exchange-'));
  let endpoints: TokenEndpoints;
  let environment: Record<string, string>;
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const exchange = (source: TokenSource) =>
    exchangeToken(source, {
      send: newSendRequest(endpoints.url),
      identity: newGatewayIdentity(environment),
      now: () => NOW_MS,
      signal: AbortSignal.timeout(5_000),
    });
  const failure = (source: TokenSource) =>
    exchange(source).then(
      () => 'no failure',
      (error: Error) => error.message,
    );
  const bedrockKey = (token: string) => verifiedBedrockKey(token, (id) => endpoints.accessKeys.get(id)?.secret);

  before(async () => {
    endpoints = new TokenEndpoints();
    endpoints.now = () => NOW_MS;
    await endpoints.start();
  });
  beforeEach(() => {
    environment = {};
    endpoints.issued.length = 0;
    endpoints.requests.length = 0;
    endpoints.lifetimeSeconds = 3600;
    endpoints.down = undefined;
  });
  after(async () => {
    await endpoints.stop();
    rmSync(folder, { recursive: true });
  });

  const entra: EntraSource = {
    type: 'AzureEntra',
    cloud: 'Public',
    tenantId: ENTRA.tenantId,
    clientId: ENTRA.clientId,
    scope: 'https://cognitiveservices.azure.com/.default',
    clientSecret: hidden(ENTRA.clientSecret),
  };
  const aws: AwsSource = {
    type: 'AWS',
    region: 'eu-central-1',
    accessKey: { id: AWS_KEY.id, secret: hidden(AWS_KEY.secret) },
    externalId: 'default',
  };
  const google = (file = endpoints.googleKeyFile()): GoogleSource => ({ type: 'GCP', keyFile: hidden(file) });
  const { clientSecret: _secret, ...entraOwn } = entra;
  const { accessKey: _key, ...awsOwn } = aws;

  describe('Entra ID', () => {
    it('issues a token for a client secret, with its expiry', async () => {
      endpoints.lifetimeSeconds = 1800;
      const token = await exchange(entra);
      assert.deepEqual(token, { token: endpoints.issued[0]?.token, expiresAtMs: NOW_MS + HOUR_MS / 2 });
    });

    it('refuses a wrong secret with a text that is the same each time and has no secret', async () => {
      const wrong = { ...entra, clientSecret: hidden('wrong') };
      const text =
        'login.microsoftonline.com answers with status 401 (invalid_client: AADSTS7000215: Invalid client secret provided.)';
      assert.deepEqual([await failure(wrong), await failure(wrong)], [text, text]);
    });

    it('issues a token for the workload identity of the process, whose file is read each time', async () => {
      const path = file('entra', await endpoints.workloadToken('elsewhere'));
      environment = { AZURE_FEDERATED_TOKEN_FILE: path };
      assert.match(await failure(entraOwn), /status 401/);
      file('entra', `${await endpoints.workloadToken('api://AzureADTokenExchange')}\n`);
      assert.match((await exchange(entraOwn)).token, /^entra\./);
    });

    it('asks the authority of the cloud of the tenant', async () => {
      await failure({ ...entra, cloud: 'USGovernment' });
      await failure({ ...entra, cloud: 'China' });
      const path = `/${ENTRA.tenantId}/oauth2/v2.0/token`;
      assert.deepEqual(endpoints.requests, [`login.microsoftonline.us ${path}`, `login.chinacloudapi.cn ${path}`]);
    });
  });

  describe('AWS', () => {
    it('an access key signs a key of Bedrock for one region and one hour, without a request', async () => {
      const { token, expiresAtMs } = await exchange(aws);
      assert.deepEqual(bedrockKey(token), {
        accessKeyId: AWS_KEY.id,
        region: 'eu-central-1',
        signedAtMs: NOW_MS,
        expiresAtMs: NOW_MS + HOUR_MS,
      });
      assert.equal(expiresAtMs, NOW_MS + HOUR_MS);
      assert.deepEqual(endpoints.requests, []);
    });

    it('another secret signs a key that is not valid', async () => {
      const { token } = await exchange({ ...aws, accessKey: { id: AWS_KEY.id, secret: hidden('other') } });
      assert.equal(bedrockKey(token), undefined);
    });

    it('a session token is part of the key', async () => {
      const accessKey = { id: AWS_KEY.id, secret: hidden(AWS_KEY.secret), sessionToken: hidden('session+/=') };
      const { token } = await exchange({ ...aws, accessKey });
      assert.equal(bedrockKey(token)?.sessionToken, 'session+/=');
    });

    it('a role is assumed by a signed request with the namespace as external id', async () => {
      endpoints.lifetimeSeconds = 900;
      const { token, expiresAtMs } = await exchange({ ...aws, roleArn: ROLE });
      const key = bedrockKey(token);
      assert.equal(key?.sessionToken, endpoints.issued[0]?.token);
      assert.equal(expiresAtMs, NOW_MS + 900_000, 'the token ends with the session');
      assert.deepEqual(endpoints.requests, ['sts.eu-central-1.amazonaws.com /']);
      assert.match(
        await failure({ ...aws, roleArn: ROLE, externalId: 'other' }),
        /^sts\.eu-central-1\.amazonaws\.com answers with status 403 \(AccessDenied: User is not authorized/,
      );
      const wrong = { id: AWS_KEY.id, secret: hidden('wrong') };
      assert.match(await failure({ ...aws, roleArn: ROLE, accessKey: wrong }), /SignatureDoesNotMatch/);
    });

    it('the web identity of the process becomes a session, which may assume another role', async () => {
      environment = {
        AWS_ROLE_ARN: WEB_IDENTITY_ROLE,
        AWS_WEB_IDENTITY_TOKEN_FILE: file('aws', await endpoints.workloadToken('sts.amazonaws.com')),
      };
      const own = await exchange(awsOwn);
      assert.equal(bedrockKey(own.token)?.sessionToken, endpoints.issued[0]?.token);
      const assumed = await exchange({ ...awsOwn, roleArn: ROLE });
      assert.equal(bedrockKey(assumed.token)?.sessionToken, endpoints.issued[2]?.token);
      file('aws', await endpoints.workloadToken('elsewhere'));
      assert.match(await failure(awsOwn), /InvalidIdentityToken/);
    });

    it('a process without an identity says so', async () => {
      const text = 'this process has no identity of AWS (AWS_WEB_IDENTITY_TOKEN_FILE is not set)';
      assert.equal(await failure(awsOwn), text);
    });
  });

  describe('Google Cloud', () => {
    it('issues a token for an assertion that the key of a service account signs', async () => {
      const token = await exchange(google());
      assert.deepEqual(token, { token: endpoints.issued[0]?.token, expiresAtMs: NOW_MS + HOUR_MS });
    });

    it('refuses a file that is not the key of a service account, and ignores its token_uri', async () => {
      const text = 'the value in the Secret is not the JSON file of a key of a service account';
      const broken = endpoints.googleKeyFile().replace('BEGIN PRIVATE KEY', 'BEGIN KEY');
      assert.deepEqual(await Promise.all(['', '{}', broken].map((file) => failure(google(file)))), [text, text, text]);
      assert.match((await exchange(google(endpoints.googleKeyFile('http://10.0.0.1/')))).token, /^google\./);
    });

    it('refuses an assertion of another key', async () => {
      const text = 'oauth2.googleapis.com answers with status 400 (invalid_grant: Invalid JWT Signature.)';
      assert.equal(await failure(google(new TokenEndpoints().googleKeyFile())), text);
    });

    it('exchanges the token of the process by workload identity federation, and impersonates', async () => {
      const account = {
        type: 'external_account',
        audience: GOOGLE_POOL,
        subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
        token_url: 'https://sts.googleapis.com/v1/token',
        credential_source: { file: file('google', await endpoints.workloadToken(GOOGLE_POOL)) },
      };
      environment = { GOOGLE_APPLICATION_CREDENTIALS: file('adc.json', JSON.stringify(account)) };
      assert.match((await exchange({ type: 'GCP' })).token, /^federated\./);
      const url = `https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/${GOOGLE.email}:generateAccessToken`;
      file('adc.json', JSON.stringify({ ...account, service_account_impersonation_url: url }));
      const impersonated = await exchange({ type: 'GCP' });
      assert.match(impersonated.token, /^impersonated\./);
      assert.equal(impersonated.expiresAtMs, NOW_MS + HOUR_MS);
    });
  });

  it('an endpoint that is away or answers nonsense is named', async () => {
    endpoints.down = 503;
    assert.equal(await failure(google()), 'oauth2.googleapis.com answers with status 503');
    endpoints.down = 200;
    assert.equal(await failure(google()), 'the response is not JSON');
  });

  it('a file that cannot be read is named', async () => {
    environment = { AZURE_FEDERATED_TOKEN_FILE: join(folder, 'missing') };
    assert.equal(await failure(entraOwn), `the file ${join(folder, 'missing')} cannot be read (ENOENT)`);
  });
});
