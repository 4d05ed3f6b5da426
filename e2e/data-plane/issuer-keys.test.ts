/**
 * Keys of an issuer on one machine, with a complete configuration as a user writes it
 * (testdata/access.yaml) and its fixed ports. The issuer comes later, rotates its keys and
 * is away.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { call } from './support/client.ts';
import { say } from './support/clients.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { type OidcProvider, startOidcProvider } from './support/oidc-provider.ts';
import { newIssuerKeys, type TokenOptions } from './support/oidc-tokens.ts';
import { claimPorts } from './support/ports.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { waitFor } from './support/wait.ts';

const file = path.join(import.meta.dirname, 'testdata/access.yaml');
const GATEWAY_PORT = 8080;
const PROVIDER_PORT = 9800;
const ISSUER_PORT = 9900;
const API_KEY = 'tg-search-batch-0000000000000000';
const claims = { team: 'search', email: 'ada@example.com', groups: ['engineering'] };

describe('access.yaml', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'tallygate-issuer-keys-'));
  let provider: Provider;
  let gateway: Gateway;
  let issuer: OidcProvider;

  const start = () => startGateway([], { yaml: readFileSync(file, 'utf8'), port: GATEWAY_PORT, folder });
  const statusOf = async (credential: string) => {
    const body = { model: 'gpt-4o', max_tokens: 50, messages: say('Hello') };
    const headers = { authorization: `Bearer ${credential}` };
    return (await call(`${gateway.url}/v1/chat/completions`, body, { headers })).status;
  };
  const token = (options: TokenOptions = {}) => issuer.issueToken({ claims, ...options });
  const timesLogged = (message: string) => gateway.log().split(message).length - 1;
  const keyRequests = () => issuer.requests.filter((each) => each.includes('jwks')).length;

  before(async () => {
    await claimPorts(GATEWAY_PORT, PROVIDER_PORT, ISSUER_PORT);
    provider = await startProvider({}, PROVIDER_PORT);
    gateway = await start();
  });
  after(async () => {
    await gateway?.stop();
    await provider?.stop();
    await issuer?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('the gateway starts before its issuer: API keys work, and tokens are refused', async () => {
    assert.equal(await statusOf(API_KEY), 200);
    const [key] = await newIssuerKeys(1);
    assert.ok(key);
    issuer = await startOidcProvider({ port: ISSUER_PORT });
    const forged = await token({ key: key.privateKey });
    await issuer.down();
    assert.equal(await statusOf(forged), 401);
    assert.equal(timesLogged('keys not fetched; retrying'), 1);
    assert.equal((await gateway.metrics()).sum('tallygate_issuers_failing'), 1);
  });

  it('tokens are accepted soon after the issuer has started, and forged ones are not', async () => {
    await issuer.up();
    const good = await token();
    await waitFor('the keys', async () => (await statusOf(good)) === 200, 40_000);
    const [key] = await newIssuerKeys(1);
    assert.equal(await statusOf(await token({ key: key!.privateKey })), 401);
    assert.equal((await gateway.metrics()).sum('tallygate_issuers_failing'), 0);
  });

  it('a flood of tokens with unknown keys causes one request to the issuer', async () => {
    const before = keyRequests();
    const statuses = await Promise.all(
      Array.from({ length: 200 }, async (_, index) => statusOf(await token({ kid: `unknown-${index}` }))),
    );
    assert.deepEqual([...new Set(statuses)], [401]);
    await waitFor('the request', async () => keyRequests() > before, 15_000);
    assert.equal(keyRequests(), before + 1);
  });

  it('a new key is fetched when a token names it, and a withdrawn one is refused from then on', async () => {
    const old = await token();
    await issuer.rotateKeys({ dropOld: true });
    const fresh = await token();
    await waitFor('the new key', async () => (await statusOf(fresh)) === 200, 25_000);
    assert.equal(await statusOf(old), 401);
  });

  it('while the issuer is away, its keys stay in use, also after a restart', async () => {
    const good = await token();
    assert.equal(await statusOf(good), 200);
    await issuer.down();
    await gateway.stop();
    gateway = await start();
    assert.equal(await statusOf(good), 200);
    assert.equal(await statusOf(await token({ audience: 'elsewhere' })), 401);
    await waitFor('the failure', async () => timesLogged('keys not fetched; retrying') === 1, 10_000);
    const metrics = await gateway.metrics();
    assert.equal(metrics.sum('tallygate_issuers'), 1);
    assert.equal(metrics.sum('tallygate_issuers_failing'), 1);
    await issuer.up();
  });
});
