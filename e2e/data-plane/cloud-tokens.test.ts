/**
 * Tokens of Entra ID, AWS and Google Cloud at the provider, fetched from endpoints that verify what
 * they get; and a new secret while requests and a stream run.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { verifiedBedrockKey } from '../../fixtures/clouds/bedrock-key.ts';
import { AWS_KEY, ENTRA, ROLE, TokenEndpoints } from '../../fixtures/clouds/token-endpoints.ts';
import { call } from './support/client.ts';
import { say } from './support/clients.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { backend, type Document, route } from './support/resources.ts';
import { waitFor } from './support/wait.ts';

const endpoints = new TokenEndpoints();
let provider: Provider;
let gateway: Gateway;

function secret(name: string, stringData: Document): Document {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'default' }, stringData };
}

function resources(clientSecret: string): readonly Document[] {
  const { port } = provider;
  const { tenantId: tenantID, clientId: clientID } = ENTRA;
  const credentials = {
    azure: { type: 'AzureEntra', azureEntra: { tenantID, clientID, clientSecretRef: { name: 'entra' } } },
    bedrock: {
      type: 'AWS',
      aws: { region: 'eu-central-1', accessKey: { secretRef: { name: 'aws' } }, roleARN: ROLE },
    },
    gemini: { type: 'GCP', gcp: { serviceAccountKey: { secretRef: { name: 'google' } } } },
    own: { type: 'GCP', gcp: {} },
  };
  return [
    secret('entra', { clientSecret }),
    secret('aws', { accessKeyID: AWS_KEY.id, secretAccessKey: AWS_KEY.secret }),
    secret('google', { 'key.json': endpoints.googleKeyFile() }),
    backend('azure', { schema: 'AzureOpenAI', port, more: { credential: credentials.azure } }),
    backend('bedrock', { schema: 'AWSBedrock', port, more: { credential: credentials.bedrock } }),
    backend('gemini', { schema: 'GoogleGemini', port, more: { credential: credentials.gemini } }),
    // Without an identity of this process.
    backend('own', { schema: 'GoogleGemini', port, more: { credential: credentials.own } }),
    route(
      'clouds',
      Object.keys(credentials).map((name) => ({ name, models: [name], backendRefs: [{ name }] })),
    ),
  ];
}

const chat = (model: string, more: Document = {}, mocked: Document = { tokens: 3 }) =>
  call(
    `${gateway.url}/v1/chat/completions`,
    { model, max_tokens: 400, messages: say('Hello'), ...more },
    { headers: { 'x-mock': JSON.stringify(mocked) } },
  );

/** Returns the token that the provider receives for a model. */
async function tokenFor(model: string): Promise<string> {
  assert.equal((await chat(model)).status, 200);
  const { authorization } = provider.seen.at(-1)?.headers ?? {};
  return /^Bearer (.+)$/.exec(authorization ?? '')?.[1] ?? '';
}

describe('tokens of clouds', () => {
  before(async () => {
    await endpoints.start();
    provider = await startProvider();
    gateway = await startGateway(resources(ENTRA.clientSecret), {
      environment: { TALLYGATE_TOKEN_PROXY: endpoints.url, GOOGLE_APPLICATION_CREDENTIALS: '/nowhere' },
    });
  });
  after(async () => {
    await gateway?.stop();
    await provider?.stop();
    await endpoints.stop();
  });

  it('the first request of each backend has its token', async () => {
    const issued = (host: string) => endpoints.issued.find((each) => each.host === host)?.token;
    assert.equal(await tokenFor('azure'), issued('login.microsoftonline.com'));
    assert.equal(await tokenFor('gemini'), issued('oauth2.googleapis.com'));
    const key = verifiedBedrockKey(await tokenFor('bedrock'), (id) => endpoints.accessKeys.get(id)?.secret);
    assert.equal(key?.sessionToken, issued('sts.eu-central-1.amazonaws.com'));
    assert.equal(key?.region, 'eu-central-1');
    assert.ok(key.expiresAtMs > Date.now());
  });

  it('a backend without a token answers 503, and the log and metrics say why', async () => {
    assert.equal((await chat('own')).status, 503);
    assert.match(gateway.log(), /token not fetched; retrying/);
    assert.match(gateway.log(), /the file \/nowhere cannot be read \(ENOENT\)/);
    const metrics = await gateway.metrics();
    assert.equal(metrics.sum('tallygate_cloud_tokens'), 4);
    assert.equal(metrics.sum('tallygate_cloud_tokens_missing'), 1);
  });

  it('another secret fails no request and ends no stream', async () => {
    const old = await tokenFor('azure');
    const tokens = 60;
    const stream = chat('azure', { stream: true }, { tokens, paceMs: 25 });
    endpoints.clientSecret = 'rotated';
    gateway.edit(resources('rotated'));
    const statuses = new Set<number>();
    await waitFor(
      'the new token',
      async () => {
        statuses.add((await chat('azure')).status);
        const { authorization } = provider.seen.at(-1)?.headers ?? {};
        return authorization !== undefined && authorization !== `Bearer ${old}`;
      },
      10_000,
    );
    assert.deepEqual([...statuses], [200]);
    const { status, text, complete } = await stream;
    assert.deepEqual([status, complete], [200, true]);
    assert.match(text, /\[DONE\]/);
  });

  it('no secret of an identity is in the log, or in the files of Envoy and extproc', () => {
    const state = path.join(gateway.folder, 'state');
    const files = readdirSync(state, { recursive: true, withFileTypes: true }).filter((each) => each.isFile());
    const texts = files.map(({ parentPath, name }) => readFileSync(path.join(parentPath, name), 'latin1'));
    assert.ok(
      texts.some((text) => text.includes('bedrock-api-key-')),
      'the tokens are there',
    );
    for (const each of [ENTRA.clientSecret, 'rotated', AWS_KEY.secret, 'BEGIN PRIVATE KEY']) {
      assert.equal(
        [gateway.log(), ...texts].some((text) => text.includes(each)),
        false,
        each,
      );
    }
  });
});
