/**
 * What `tallygate key` and `tallygate login` give to a user works at a running gateway: official
 * clients send it, and a revoked key stops working.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { call } from './support/client.ts';
import { anthropicClient, mock, openaiClient, say } from './support/clients.ts';
import { Command } from './support/command.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { CLIENT_ID, type OidcProvider, startOidcProvider } from './support/oidc-provider.ts';
import { signIn } from './support/oidc-user.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { type Document, route } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { backends, CLAUDE, MODEL, rules } from './support/world.ts';

const CHANGE_MS = 1_000;
const BODY = { model: MODEL, max_tokens: 50, messages: say('Hello') };

function accessPolicy(issuer: string): Document {
  return {
    apiVersion: 'tallygate.dev/v1alpha1',
    kind: 'AIAccessPolicy',
    metadata: { name: 'internal', namespace: 'default' },
    spec: {
      targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'ai' }],
      authenticate: [
        { name: 'keys', type: 'APIKey', apiKey: { secretSelector: { matchLabels: { stage: 'test' } } } },
        {
          name: 'sso',
          type: 'JWT',
          jwt: {
            issuer,
            audiences: ['ai-gateway'],
            identity: { tenant: { claim: 'team' }, user: { claim: 'email' }, groups: { claim: 'groups' } },
            signIn: { clientID: CLIENT_ID },
          },
        },
      ],
      allow: [{ name: 'all', principals: [{ authenticated: true }] }],
    },
  };
}

describe('credentials of the command line', () => {
  let provider: Provider;
  let issuer: OidcProvider;
  let gateway: Gateway;
  const home = mkdtempSync(path.join(os.tmpdir(), 'tallygate-credentials-'));
  const start = (...args: readonly string[]) => new Command(home, args);
  const keys = (...args: readonly string[]) =>
    start('key', ...args, '--file', path.join(gateway.folder, 'resources.yaml')).end();
  const statusWith = async (key: string) =>
    (await call(`${gateway.url}/v1/chat/completions`, BODY, { headers: { authorization: `Bearer ${key}` } })).status;

  before(async () => {
    provider = await startProvider();
    issuer = await startOidcProvider();
    gateway = await startGateway([...backends(provider.port), route('chat', rules), accessPolicy(issuer.issuer)]);
  });
  after(async () => {
    await gateway?.stop();
    await issuer?.stop();
    await provider?.stop();
    rmSync(home, { recursive: true });
  });

  async function assertClientsWork(credential: string): Promise<void> {
    const openai = openaiClient(gateway.url).withOptions({ apiKey: credential });
    const { choices } = await openai.chat.completions.create(BODY, mock({ tokens: 3 }));
    assert.equal(choices.length, 1);
    const anthropic = anthropicClient(gateway.url).withOptions({ apiKey: credential });
    const message = await anthropic.messages.create({ ...BODY, model: CLAUDE }, mock({ tokens: 3 }));
    assert.equal(message.role, 'assistant');
  }

  it('a created key works within a second, and stops within a second after it was revoked', async () => {
    const made = await keys('create', '--tenant', 'search', '--user', 'batch', '--label', 'stage=test');
    assert.equal(made.code, 0, made.stderr);
    const key = made.stdout.trim();
    await waitFor('admitted key', async () => (await statusWith(key)) === 200, CHANGE_MS);
    await assertClientsWork(key);
    const { record } = await gateway.recordOf(() => statusWith(key));
    const { caller } = JSON.parse(record.line) as { caller: { tenant: string; user: string } };
    assert.deepEqual([caller.tenant, caller.user], ['search', 'batch']);

    const revoked = await keys('revoke', 'key-search-batch');
    assert.equal(revoked.code, 0, revoked.stderr);
    await waitFor('refused key', async () => (await statusWith(key)) === 401, CHANGE_MS);
  });

  it('a key without the label that the policy selects is refused', async () => {
    const unlabelled = (await keys('create', '--tenant', 'search', '--user', 'other')).stdout.trim();
    const labelled = (await keys('create', '--tenant', 'ads', '--user', 'web', '--label', 'stage=test')).stdout.trim();
    await waitFor('admitted key', async () => (await statusWith(labelled)) === 200, CHANGE_MS);
    assert.equal(await statusWith(unlabelled), 401);
  });

  it('a token of a user who signed in at the address of the gateway works', async () => {
    const login = start('login', gateway.url, '--browser');
    await signIn(await login.line(/Open (\S+)/), 'ada');
    assert.equal((await login.end()).code, 0);
    const token = (await start('token').end()).stdout.trim();
    await assertClientsWork(token);
    const { record } = await gateway.recordOf(() => statusWith(token));
    const { caller } = JSON.parse(record.line) as { caller: { tenant: string; user: string } };
    assert.deepEqual([caller.tenant, caller.user], ['search', 'ada@example.com']);
  });
});
