/**
 * Policies that a user already has on the Gateway stay in force together with quotas, as their
 * effects on traffic show. Two of them supply the keys of a quota. enforcing.test.ts tests an
 * EnvoyExtensionPolicy.
 */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import OpenAI from 'openai';
import type { Behaviour } from '../data-plane/support/behaviour.ts';
import { errorOf, mock, openaiClient, say } from '../data-plane/support/clients.ts';
import { type Document, quotaPolicy, teamQuota } from '../data-plane/support/resources.ts';
import { waitFor } from '../data-plane/support/wait.ts';
import { wordsOf } from '../data-plane/support/words.ts';
import { install } from './support/helm.ts';
import { apply, condition, get, kubectl, waitUntil } from './support/kubectl.ts';
import { recordsOf as recordsAt } from './support/records.ts';
import { type ClusterWorld, gatewayOf, keyOf, startClusterWorld, waitUntilEnforcing } from './support/world.ts';

const NAMESPACE = 'tge-user-policies';
const MODEL = 'gpt-4o-mini';
const LIMIT = 500;
const SIGNING_KEY = 'the-key-that-signs-tokens-of-teams';
const labels = { tier: 'gold' };
const gatewayRef = { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'ai' };
const kinds = ['ClientTrafficPolicy', 'SecurityPolicy', 'BackendTrafficPolicy'] as const;

function policy(kind: (typeof kinds)[number], spec: Document): Document {
  return {
    apiVersion: 'gateway.envoyproxy.io/v1alpha1',
    kind,
    metadata: { name: 'mine', namespace: NAMESPACE },
    spec,
  };
}

const clientTraffic = policy('ClientTrafficPolicy', {
  targetRefs: [gatewayRef],
  headers: { earlyRequestHeaders: { set: [{ name: 'x-project', value: 'from-policy' }] } },
  timeout: { http: { streamIdleTimeout: '1s' } },
});

const security = policy('SecurityPolicy', {
  targetRefs: [gatewayRef],
  jwt: {
    providers: [
      {
        name: 'teams',
        issuer: 'tests',
        localJWKS: {
          type: 'Inline',
          inline: JSON.stringify({ keys: [{ kty: 'oct', alg: 'HS256', k: base64url(SIGNING_KEY) }] }),
        },
        claimToHeaders: [{ header: 'x-team', claim: 'team' }],
      },
    ],
  },
  authorization: {
    defaultAction: 'Allow',
    rules: [
      {
        action: 'Deny',
        principal: {
          clientCIDRs: ['0.0.0.0/0'],
          jwt: { provider: 'teams', claims: [{ name: 'team', values: ['banned'] }] },
        },
      },
    ],
  },
});

/** Selects the Gateway by its label. */
const backendTraffic = policy('BackendTrafficPolicy', {
  targetSelectors: [{ group: gatewayRef.group, kind: gatewayRef.kind, matchLabels: labels }],
  retry: { numRetries: 2, retryOn: { httpStatusCodes: [503] }, perRetry: { backOff: { baseInterval: '10ms' } } },
  timeout: { http: { requestTimeout: '4s' } },
  rateLimit: {
    type: 'Local',
    local: {
      rules: [
        {
          clientSelectors: [{ headers: [{ name: 'x-limited', value: 'yes' }] }],
          limit: { requests: 1, unit: 'Hour' },
        },
      ],
    },
  },
  responseOverride: [
    {
      match: { statusCodes: [{ type: 'Value', value: 418 }] },
      response: {
        contentType: 'application/json',
        body: { type: 'Inline', inline: '{"error":{"code":"overridden"}}' },
      },
    },
  ],
});

let world: ClusterWorld;
before(async () => {
  await install();
  const key = ['x-team', 'x-project'].map((name) => ({ type: 'Header', header: { name } }));
  world = await startClusterWorld(NAMESPACE, [
    quotaPolicy('teams', 'chat', [teamQuota('tokens', 'TotalTokens', LIMIT, { key })]),
  ]);
  const gateway = gatewayOf(NAMESPACE);
  const metadata = { ...(gateway['metadata'] as Document), labels };
  await apply([{ ...gateway, metadata }, clientTraffic, security, backendTraffic]);
  for (const kind of kinds) {
    await waitUntil(condition('ancestors', 'Accepted', 'True'), ['-n', NAMESPACE, kind, 'mine']);
  }
  await waitFor('all of them in Envoy', () => ask('first').then(Boolean, () => false), 20_000);
});
after(() => world?.stop());

function base64url(text: string): string {
  return Buffer.from(text).toString('base64url');
}

function tokenOf(team: string): string {
  const [head, claims] = [{ alg: 'HS256' }, { iss: 'tests', team }].map((each) => base64url(JSON.stringify(each)));
  return `${head}.${claims}.${createHmac('sha256', SIGNING_KEY).update(`${head}.${claims}`).digest('base64url')}`;
}

/** Returns a client with forged headers for team and project, which must have no effect. */
function clientOf(team: string): OpenAI {
  return openaiClient(world.url, {
    authorization: `Bearer ${tokenOf(team)}`,
    'x-team': 'forged',
    'x-project': 'forged',
  });
}

function ask(team: string, behaviour: Behaviour = { tokens: 3 }, headers: Readonly<Record<string, string>> = {}) {
  const request = { model: MODEL, messages: say('Hello'), max_completion_tokens: 50 };
  return clientOf(team).chat.completions.create(request, mock(behaviour, headers));
}

/** Returns the text of a stream until it breaks off. */
async function textOfBrokenStream(team: string, behaviour: Behaviour): Promise<{ text: string; tookMs: number }> {
  const startedAtMs = performance.now();
  const request = { model: MODEL, messages: say('Hello'), stream: true as const };
  const events = await clientOf(team).chat.completions.create(request, mock(behaviour));
  let text = '';
  const read = async () => {
    for await (const { choices } of events) {
      text += choices[0]?.delta.content ?? '';
    }
  };
  await errorOf(read());
  return { text, tookMs: performance.now() - startedAtMs };
}

const recordsOf = (team: string, count = 1) => recordsAt(NAMESPACE, team, count);

const seenCount = async () => (await world.provider.seen()).length;

describe('a SecurityPolicy', () => {
  it('refuses requests without a token', async () => {
    const before = await seenCount();
    const request = { model: MODEL, messages: say('Hello') };
    const refused = await errorOf(openaiClient(world.url).chat.completions.create(request));
    assert.ok(refused instanceof OpenAI.AuthenticationError, String(refused));
    assert.equal(await seenCount(), before);
  });

  it('supplies the team of the token as quota key, and the provider receives only its own key', async () => {
    const answer = await ask('red', { tokens: 12 });
    assert.equal(answer.choices[0]?.message.content, wordsOf(12));
    const [record] = await recordsOf('red');
    assert.deepEqual(record?.keys, ['red', 'from-policy']);
    assert.deepEqual([record?.inputTokens, record?.outputTokens], [answer.usage?.prompt_tokens, 12]);
    const { headers } = (await world.provider.seen()).at(-1) ?? assert.fail();
    assert.equal(headers['authorization'], `Bearer ${keyOf('openai')}`);
  });

  it('refuses a team without access, at no charge', async () => {
    const before = await seenCount();
    const refused = await errorOf(ask('banned'));
    assert.ok(refused instanceof OpenAI.PermissionDeniedError, String(refused));
    assert.equal(await seenCount(), before);
    const [record] = await recordsOf('banned');
    assert.deepEqual([record?.status, record?.outputTokens ?? 0], [403, 0]);
  });

  it('allows a team whose quota then applies', async () => {
    const request = { model: MODEL, messages: say('Hello'), stream: true as const };
    const events = await clientOf('spender').chat.completions.create(request, mock({ tokens: 2 * LIMIT }));
    for await (const _ of events) {
    }
    assert.equal((await recordsOf('spender'))[0]?.decision, 'cut');
    assert.ok((await errorOf(ask('spender', { tokens: 50 }))) instanceof OpenAI.RateLimitError);
  });
});

describe('a ClientTrafficPolicy', () => {
  it('ends a silent stream after its idle timeout, and what arrived is charged', async () => {
    const silent = { tokens: 50, fail: { when: 'in', how: 'silent', chunks: 5 } } as const;
    const { text, tookMs } = await textOfBrokenStream('silent', silent);
    assert.equal(text, wordsOf(5));
    assert.ok(tookMs < 4_000, `${tookMs} ms`);
    assert.equal((await recordsOf('silent'))[0]?.outputTokens, 5);
  });
});

describe('a BackendTrafficPolicy', () => {
  it('retries requests', async () => {
    const before = await seenCount();
    const failed = await errorOf(ask('retried', { status: 503 }));
    assert.ok(failed instanceof OpenAI.InternalServerError, String(failed));
    assert.equal((await seenCount()) - before, 3);
    assert.equal((await recordsOf('retried')).length, 1);
  });

  it('ends a response after its request timeout, and what arrived is charged', async () => {
    const { text, tookMs } = await textOfBrokenStream('slow', { tokens: 100, paceMs: 200 });
    assert.ok(tookMs >= 3_900 && tookMs < 15_000, `${tookMs} ms`);
    const [record] = await recordsOf('slow');
    assert.equal(wordsOf(record?.outputTokens ?? 0), text);
  });

  it('limits the rate of requests', async () => {
    await ask('limited', {}, { 'x-limited': 'yes' });
    const before = await seenCount();
    const refused = await errorOf(ask('limited', {}, { 'x-limited': 'yes' }));
    assert.ok(refused instanceof OpenAI.RateLimitError, String(refused));
    assert.notEqual(refused.code, 'quota_exceeded');
    assert.equal(await seenCount(), before);
    const [, record] = await recordsOf('limited', 2);
    assert.deepEqual([record?.status, record?.outputTokens ?? 0], [429, 0]);
  });

  it('overrides a response of the provider', async () => {
    const overridden = await errorOf(ask('teapot', { status: 418 }));
    assert.ok(overridden instanceof OpenAI.APIError, String(overridden));
    assert.deepEqual([overridden.status, overridden.code], [418, 'overridden']);
    assert.equal((await recordsOf('teapot'))[0]?.outputTokens ?? 0, 0);
  });
});

it('none of the policies is reported', async () => {
  await waitUntilEnforcing(NAMESPACE, 'chat');
});

it('a policy that selects the Gateway by a label applies while the Gateway has the label', async () => {
  const ownTime = async () => {
    const { items } = await get('-n', NAMESPACE, 'httproutes', '-l', 'tallygate.dev/route=chat');
    return items[0].spec.rules[0].timeouts?.request;
  };
  const [[name, value] = []] = Object.entries(labels);
  assert.equal(await ownTime(), undefined);
  await kubectl('-n', NAMESPACE, 'label', 'gateway', 'ai', `${name}-`);
  await waitFor('our own time', async () => (await ownTime()) === '0s', 10_000);
  await kubectl('-n', NAMESPACE, 'label', 'gateway', 'ai', `${name}=${value}`);
  await waitFor('the time of the policy', async () => (await ownTime()) === undefined, 10_000);
});

it('a route has Tallygate’s timeouts again when the policies are removed', async () => {
  for (const kind of kinds) {
    await kubectl('-n', NAMESPACE, 'delete', kind, 'mine');
  }
  const plain = openaiClient(world.url, { 'x-team': 'after', 'x-project': 'after' });
  const longer = { tokens: 25, paceMs: 200 };
  const textOfStream = async () => {
    const request = { model: MODEL, messages: say('Hello'), stream: true as const };
    let text = '';
    for await (const { choices } of await plain.chat.completions.create(request, mock(longer))) {
      text += choices[0]?.delta.content ?? '';
    }
    return text;
  };
  // Open connections keep their original listener.
  const isWhole = async () => (await textOfStream().catch(() => '')) === wordsOf(longer.tokens);
  await waitFor('a stream that is longer than the policy let it be', isWhole, 30_000);
});
