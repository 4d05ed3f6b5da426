/**
 * Who may call, on a cluster: API keys from Secrets, tokens of an issuer outside, and a user's own
 * SecurityPolicy beside ours.
 */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { open } from '../data-plane/support/client.ts';
import { say } from '../data-plane/support/clients.ts';
import type { Document } from '../data-plane/support/resources.ts';
import { waitFor, within } from '../data-plane/support/wait.ts';
import { askChat, type ChatAnswer } from './support/ask.ts';
import { install, RELEASE, SYSTEM } from './support/helm.ts';
import { type HostIssuer, startHostIssuer } from './support/issuer.ts';
import { apply, condition, get, kubectl, waitUntil } from './support/kubectl.ts';
import { type ClusterWorld, keyOf, startClusterWorld, waitUntilEnforcing } from './support/world.ts';

const NAMESPACE = 'tge-access';
const MODEL = 'gpt-4o-mini';
const KEY = 'tg-search-batch-0000000000000000';
const host = process.env['K8S_RIG_HOST_IP'];
const gatewayRef = { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'ai' };

let world: ClusterWorld;
let issuer: HostIssuer | undefined;

function keySecret(name: string, apiKey: string): Document {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name,
      namespace: NAMESPACE,
      labels: { 'tallygate.dev/api-key': 'true' },
      annotations: { 'tallygate.dev/tenant': 'search', 'tallygate.dev/groups': 'engineering' },
    },
    stringData: { apiKey },
  };
}

function accessPolicy(issuerUrl: string | undefined): Document {
  const keys = {
    name: 'keys',
    type: 'APIKey',
    apiKey: { secretSelector: { matchLabels: { 'tallygate.dev/api-key': 'true' } } },
  };
  const jwt = {
    issuer: issuerUrl,
    audiences: ['ai-gateway'],
    identity: { tenant: { claim: 'team' }, groups: { claim: 'groups' } },
  };
  return {
    apiVersion: 'tallygate.dev/v1alpha1',
    kind: 'AIAccessPolicy',
    metadata: { name: 'internal', namespace: NAMESPACE },
    spec: {
      targetRefs: [gatewayRef],
      authenticate: [keys, ...(issuerUrl === undefined ? [] : [{ name: 'sso', type: 'JWT', jwt }])],
      allow: [{ name: 'engineers', principals: [{ group: 'engineering' }], models: ['gpt-*'] }],
      revokeStreams: true,
    },
  };
}

before(async () => {
  await install(host === undefined ? {} : { values: [`controller.allowedDestinations={${host}}`] });
  issuer = host === undefined ? undefined : await startHostIssuer(host);
  world = await startClusterWorld(NAMESPACE, [accessPolicy(issuer?.url), keySecret('lasting', `${KEY}-lasting`)]);
  await waitUntil(condition('ancestors', 'Accepted', 'True'), ['-n', NAMESPACE, 'aiaccesspolicy', 'internal']);
});

after(async () => {
  await issuer?.down().catch(() => {});
  await world?.stop();
});

function ask(credential: string | undefined, headers: Readonly<Record<string, string>> = {}): Promise<ChatAnswer> {
  const own: Readonly<Record<string, string>> =
    credential === undefined ? {} : { authorization: `Bearer ${credential}` };
  return askChat(world.url, { model: MODEL, headers: { ...own, ...headers } });
}

const statusOf = async (credential: string | undefined, headers?: Readonly<Record<string, string>>) =>
  (await ask(credential, headers)).status;

describe('API keys', () => {
  it('nobody is served without a key, and the provider sees nothing of it', async () => {
    const before = (await world.provider.seen()).length;
    const refused = await ask(undefined);
    assert.equal(refused.status, 401);
    assert.equal(JSON.parse(refused.body).error.type, 'authentication_error');
    assert.equal(await statusOf(KEY), 401);
    assert.equal((await world.provider.seen()).length, before);
  });

  it('a key in the address works, and Envoy does not log it', async () => {
    const response = await fetch(`${world.url}/v1beta/models?key=${KEY}-lasting`);
    assert.equal(response.status, 200, await response.text());
  });

  it('a key works soon after its Secret was made, and stops within a second after it was removed', async (t) => {
    await apply([keySecret('batch', KEY)]);
    const madeMs = performance.now();
    await waitFor('the key', async () => (await statusOf(KEY)) === 200, 10_000);
    t.diagnostic(`used ${(performance.now() - madeMs).toFixed(0)} ms after its Secret`);
    const { headers } = (await world.provider.seen()).at(-1) ?? assert.fail();
    assert.equal(headers['authorization'], `Bearer ${keyOf('openai')}`);

    await kubectl('-n', NAMESPACE, 'delete', 'secret', 'batch');
    const removedMs = performance.now();
    await waitFor('refused', async () => (await statusOf(KEY)) === 401, 10_000);
    const tookMs = performance.now() - removedMs;
    t.diagnostic(`refused ${tookMs.toFixed(0)} ms after the Secret was removed`);
    assert.ok(tookMs < 1000, `${tookMs} ms`);
    assert.equal(await statusOf(`${KEY}-lasting`), 200, 'another key is not affected');
  });

  it('an open stream ends within a second after the key of its caller was removed', async () => {
    await apply([keySecret('streaming', KEY)]);
    await waitFor('the key', async () => (await statusOf(KEY)) === 200, 10_000);
    const body = { model: MODEL, max_tokens: 5000, stream: true, messages: say('Hello') };
    const stream = await open(`${world.url}/v1/chat/completions`, body, {
      headers: { authorization: `Bearer ${KEY}` },
      mock: { tokens: 5000, paceMs: 50 },
    });
    await waitFor('the first events', async () => stream.text().length > 0);
    await kubectl('-n', NAMESPACE, 'delete', 'secret', 'streaming');
    const ended = await within(1_000, 'the end of the stream', stream.done);
    assert.match(ended.text, /revoked or has expired/);
  });

  it('two Secrets with one key: the older one keeps it, and the policy says so', async () => {
    await apply([{ ...keySecret('copy', `${KEY}-lasting`) }]);
    const object = ['-n', NAMESPACE, 'aiaccesspolicy', 'internal'];
    await waitUntil(condition('ancestors', 'ResolvedRefs', 'False'), object);
    const { status } = await get(...object);
    const found = status.ancestors[0].conditions.find((each: { type: string }) => each.type === 'ResolvedRefs');
    assert.equal(found.reason, 'DuplicateKey');
    assert.match(found.message, /copy/);
    assert.equal(await statusOf(`${KEY}-lasting`), 200);
    await kubectl('-n', NAMESPACE, 'delete', 'secret', 'copy');
    await waitUntil(condition('ancestors', 'ResolvedRefs', 'True'), object);
  });

  it('neither the controller nor a sidecar writes a key to its log', async () => {
    const logs = await kubectl('-n', SYSTEM, 'logs', `deployment/${RELEASE}-controller`, '--all-pods=true');
    assert.equal(logs.includes(KEY), false);
  });
});

describe('tokens', { skip: host === undefined && 'the cluster cannot reach an issuer on this machine' }, () => {
  const claims = { team: 'search', email: 'ada@example.com', groups: ['engineering'] };
  const token = (options: Parameters<HostIssuer['token']>[0] = {}) => issuer!.token({ claims, ...options });

  it('a token of the issuer is accepted, one for another audience or of another issuer is not', async () => {
    const good = await token();
    await waitFor('the keys of the issuer', async () => (await statusOf(good)) === 200, 15_000);
    assert.equal(await statusOf(await token({ audience: 'elsewhere' })), 401);
    assert.equal(await statusOf(await token({ issuer: 'http://elsewhere' })), 401);
    assert.equal(await statusOf(await token({ expiresInSeconds: -60 })), 401);
    assert.equal(await statusOf(await token({ alg: 'none' })), 401);
    assert.equal(await statusOf(await token({ claims: { ...claims, groups: [] } })), 403);
  });

  it('a new key of the issuer is fetched when a token names it', async (t) => {
    const old = await token();
    await issuer!.rotate();
    const startedMs = performance.now();
    const fresh = await token();
    await waitFor('the new key', async () => (await statusOf(fresh)) === 200, 25_000);
    t.diagnostic(`accepted after ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
    assert.equal(await statusOf(old), 401, 'the withdrawn key is not accepted any more');
  });

  it('while the issuer is away, its keys stay in use, also with a new leader', async () => {
    const good = await token();
    assert.equal(await statusOf(good), 200);
    await issuer!.down();
    let failed = 0;
    let isDone = false;
    const asking = (async () => {
      while (!isDone) {
        failed += (await statusOf(good)) === 200 ? 0 : 1;
        await sleep(100);
      }
    })();
    const { spec } = await get('-n', SYSTEM, 'lease', 'tallygate-controller');
    await kubectl('-n', SYSTEM, 'delete', 'pods', '-l', 'app.kubernetes.io/component=controller', '--wait=true');
    await waitFor(
      'another leader',
      async () => {
        const lease = await get('-n', SYSTEM, 'lease', 'tallygate-controller');
        return lease.spec.holderIdentity !== '' && lease.spec.holderIdentity !== spec.holderIdentity;
      },
      60_000,
    );
    const object = ['-n', NAMESPACE, 'aiaccesspolicy', 'internal'];
    await waitUntil(condition('ancestors', 'ResolvedRefs', 'False'), object);
    // The new leader publishes a policy of its own, with the kept keys.
    await apply([keySecret('later', `${KEY}-later`)]);
    await waitFor('a later key', async () => (await statusOf(`${KEY}-later`)) === 200, 30_000);
    isDone = true;
    await asking;
    assert.equal(failed, 0);
    assert.equal(await statusOf(await token({ audience: 'elsewhere' })), 401);
    await issuer!.up();
    await waitUntil(condition('ancestors', 'ResolvedRefs', 'True'), object, 90_000);
  });
});

describe("a user's own SecurityPolicy on the Gateway", () => {
  const SIGNING_KEY = 'the-key-that-signs-tokens-of-the-platform';
  const base64url = (text: string) => Buffer.from(text).toString('base64url');
  const security: Document = {
    apiVersion: 'gateway.envoyproxy.io/v1alpha1',
    kind: 'SecurityPolicy',
    metadata: { name: 'mine', namespace: NAMESPACE },
    spec: {
      targetRefs: [gatewayRef],
      jwt: {
        providers: [
          {
            name: 'platform',
            issuer: 'platform',
            extractFrom: { headers: [{ name: 'x-platform-token' }] },
            localJWKS: {
              type: 'Inline',
              inline: JSON.stringify({ keys: [{ kty: 'oct', alg: 'HS256', k: base64url(SIGNING_KEY) }] }),
            },
          },
        ],
      },
    },
  };
  const platformToken = (): Readonly<Record<string, string>> => {
    const [head, body] = [{ alg: 'HS256' }, { iss: 'platform' }].map((each) => base64url(JSON.stringify(each)));
    const signature = createHmac('sha256', SIGNING_KEY).update(`${head}.${body}`).digest('base64url');
    return { 'x-platform-token': `${head}.${body}.${signature}` };
  };

  it('stays in force beside ours: a request must satisfy both', async () => {
    const key = `${KEY}-lasting`;
    await apply([security]);
    await waitUntil(condition('ancestors', 'Accepted', 'True'), ['-n', NAMESPACE, 'securitypolicy', 'mine']);
    await waitFor('theirs in Envoy', async () => (await statusOf(key)) === 401, 20_000);
    const before = (await world.provider.seen()).length;
    assert.equal(await statusOf(undefined, platformToken()), 401, 'without our key');
    assert.equal((await world.provider.seen()).length, before);
    assert.equal(await statusOf(key, platformToken()), 200);
    await waitUntilEnforcing(NAMESPACE, 'chat');
    await kubectl('-n', NAMESPACE, 'delete', 'securitypolicy', 'mine');
    await waitFor('ours alone', async () => (await statusOf(key)) === 200, 20_000);
    assert.equal(await statusOf(undefined), 401);
  });
});
