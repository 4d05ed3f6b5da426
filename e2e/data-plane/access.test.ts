/**
 * Access policies through Envoy: official clients with each credential, and an attack table. What
 * is refused never reaches the provider.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { call, open } from './support/client.ts';
import { anthropicClient, errorOf, mock, openaiClient, say } from './support/clients.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { type OidcProvider, startOidcProvider } from './support/oidc-provider.ts';
import { newIssuerKeys, publicKeyPem, type TokenOptions } from './support/oidc-tokens.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { head, rawCall } from './support/raw-client.ts';
import { type Document, quotaPolicy, route } from './support/resources.ts';
import { waitFor, within } from './support/wait.ts';
import { backends, CLAUDE, MODEL, rules } from './support/world.ts';

const API = 'tallygate.dev/v1alpha1';
const KEY = 'tg-search-batch-0000000000000000';
const OTHER_KEY = 'tg-ads-0000000000000000';
const EXPIRED_KEY = 'tg-expired-0000000000000000';

function keySecret(name: string, apiKey: string, annotations: Readonly<Record<string, string>>): Document {
  const prefixed = Object.fromEntries(
    Object.entries(annotations).map(([key, value]) => [`tallygate.dev/${key}`, value]),
  );
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: 'default', labels: { 'tallygate.dev/api-key': 'true' }, annotations: prefixed },
    stringData: { apiKey },
  };
}

const keys = [
  keySecret('key-search', KEY, { tenant: 'search', user: 'batch', groups: 'engineering' }),
  keySecret('key-ads', OTHER_KEY, { tenant: 'ads', user: 'web' }),
  keySecret('key-expired', EXPIRED_KEY, { tenant: 'search', groups: 'engineering', expires: '2020-01-01T00:00:00Z' }),
];

function accessPolicy(issuer: string): Document {
  return {
    apiVersion: API,
    kind: 'AIAccessPolicy',
    metadata: { name: 'internal', namespace: 'default' },
    spec: {
      targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'ai' }],
      authenticate: [
        {
          name: 'keys',
          type: 'APIKey',
          apiKey: { secretSelector: { matchLabels: { 'tallygate.dev/api-key': 'true' } } },
        },
        {
          name: 'sso',
          type: 'JWT',
          jwt: {
            issuer,
            audiences: ['ai-gateway'],
            jwks: { type: 'Discovery' },
            clockSkew: '5s',
            identity: { tenant: { claim: 'team' }, user: { claim: 'email' }, groups: { claim: 'groups' } },
          },
        },
      ],
      allow: [
        { name: 'engineers', principals: [{ group: 'engineering' }], models: ['gpt-*', 'claude-*'] },
        {
          name: 'everyone',
          principals: [{ authenticated: true }],
          models: [MODEL],
          endpoints: ['chat'],
          when: 'request.maxOutputTokens <= 100',
        },
      ],
      revokeStreams: true,
    },
  };
}

const perUser = quotaPolicy('per-user', 'chat', [
  {
    name: 'tokens',
    limit: { type: 'TotalTokens', amount: 1_000_000 },
    window: { type: 'Lifetime' },
    key: [{ type: 'Tenant' }, { type: 'User' }],
  },
]);

const BODY = { model: MODEL, max_tokens: 50, messages: say('Hello') };
const claims = { team: 'search', email: 'ada@example.com', groups: ['engineering'] };

describe('access policies', () => {
  let provider: Provider;
  let issuer: OidcProvider;
  let gateway: Gateway;
  let documents: readonly Document[];
  const chat = (headers: Readonly<Record<string, string>>, body: unknown = BODY, path = '/v1/chat/completions') =>
    call(`${gateway.url}${path}`, body, { headers });
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

  before(async () => {
    provider = await startProvider();
    issuer = await startOidcProvider();
    const passthrough = { passthrough: [{ method: 'GET', path: '/v1/files*' }] };
    documents = [...backends(provider.port), route('chat', rules, passthrough), accessPolicy(issuer.issuer), perUser];
    gateway = await startGateway([...documents, ...keys]);
  });
  beforeEach(() => provider.forget());
  after(async () => {
    await provider?.stop();
    await issuer?.stop();
    await gateway?.stop();
  });

  it('official clients work with a key and with a token, and the provider sees neither', async () => {
    const token = await issuer.issueToken({ claims });
    for (const credential of [KEY, token]) {
      const openai = openaiClient(gateway.url).withOptions({ apiKey: credential });
      const { choices } = await openai.chat.completions.create(BODY, mock({ tokens: 3 }));
      assert.equal(choices.length, 1);
      const anthropic = anthropicClient(gateway.url).withOptions({ apiKey: credential });
      const message = await anthropic.messages.create({ ...BODY, model: CLAUDE }, mock({ tokens: 3 }));
      assert.equal(message.role, 'assistant');
    }
    assert.equal(provider.seen.length, 4);
    const seen = JSON.stringify(provider.seen);
    assert.ok(!seen.includes(KEY) && !seen.includes(token));
  });

  it('the access line and the quota name tenant and user', async () => {
    const token = await issuer.issueToken({ claims });
    const { record } = await gateway.recordOf(() => chat(bearer(token)));
    const { caller } = JSON.parse(record.line);
    assert.deepEqual(caller, {
      decision: 'admitted',
      method: 'jwt',
      tenant: 'search',
      user: 'ada@example.com',
      group: 'engineering',
    });
    const text = await (await fetch(`${gateway.metricsUrl}/metrics`)).text();
    assert.match(text, /tallygate_quota_key="search,ada@example.com"/);
    assert.match(text, /tallygate_access_decisions_total\{.*tallygate_access_method="jwt"/);
  });

  it('official clients raise their authentication and permission errors', async () => {
    const openai = openaiClient(gateway.url);
    const refused = await errorOf(openai.chat.completions.create(BODY));
    assert.deepEqual([Object(refused).status, Object(refused).code], [401, 'unauthenticated']);
    const other = openai.withOptions({ apiKey: OTHER_KEY });
    const denied = await errorOf(other.chat.completions.create({ ...BODY, model: 'gpt-3.5-turbo-instruct' }));
    assert.deepEqual([Object(denied).status, Object(denied).code], [403, 'model_not_allowed']);
    const anthropic = await errorOf(anthropicClient(gateway.url).messages.create({ ...BODY, model: CLAUDE }));
    assert.deepEqual([Object(anthropic).status, Object(anthropic).error.error.type], [401, 'authentication_error']);
    assert.equal(provider.seen.length, 0);
  });

  const attacks: readonly (readonly [title: string, headers: () => Promise<Readonly<Record<string, string>>>])[] = [
    ['no credential', async () => ({})],
    ['an unknown key', async () => bearer('tg-search-batch-0000000000000001')],
    ['an expired key', async () => bearer(EXPIRED_KEY)],
    ['a key with a changed case', async () => bearer(KEY.toUpperCase())],
    ['two different keys', async () => ({ ...bearer(KEY), 'x-api-key': OTHER_KEY })],
    ['a key with Basic', async () => ({ authorization: `Basic ${KEY}` })],
    [
      'the digest of a key',
      async () => bearer('sha256:6f1c7b0d1f4f2a4b5d8f0d9a1b7c3e5f60718293a4b5c6d7e8f9001122334455'),
    ],
    [
      'forged identity headers',
      async () => ({
        'x-tallygate-tenant': 'search',
        x_tallygate_user: 'batch',
        'x-forwarded-client-cert': 'URI=spiffe://example.org/ns/search/sa/batch',
        'connection.subject_peer_certificate': 'CN=ada',
      }),
    ],
    ...tokenAttacks(),
  ];

  function tokenAttacks() {
    const token = (title: string, options: () => TokenOptions | Promise<TokenOptions>) =>
      [title, async () => bearer(await issuer.issueToken({ claims, ...(await options()) }))] as const;
    return [
      token('a token without signature', () => ({ alg: 'none' })),
      token('a token signed with the public key as the secret', async () => ({
        alg: 'HS256',
        key: new TextEncoder().encode(await publicKeyPem(issuer.keys[0]!)),
      })),
      token('a token of another key with the same kid', async () => ({ key: (await newIssuerKeys(9))[0]!.privateKey })),
      token('an expired token', () => ({ expiresInSeconds: -10 })),
      token('a future token', () => ({ notBeforeInSeconds: 60 })),
      token('a token for another audience', () => ({ audience: 'other' })),
      token('a token of another issuer', () => ({ issuer: 'https://evil.example.org' })),
      token('a token with an unknown kid', () => ({ kid: '../../keys' })),
      token('a token with its own key', async () => {
        const [evil] = await newIssuerKeys(9);
        return { key: evil!.privateKey, header: { jwk: evil!.publicJwk } };
      }),
    ];
  }

  for (const [title, headers] of attacks) {
    it(`${title} gets 401 from every endpoint`, async () => {
      for (const [path, body] of [
        ['/v1/chat/completions', BODY],
        ['/v1/messages', { ...BODY, model: CLAUDE }],
        ['/v1/messages/count_tokens', { ...BODY, model: CLAUDE }],
        ['/v1/embeddings', { model: 'text-embedding-3-small', input: 'x' }],
        ['/v1/models', undefined],
        ['/v1/files/f1', undefined],
        ['/v1/unknown', {}],
        ['/', {}],
      ] as const) {
        const { status, text, headers: answered } = await chat(await headers(), body, path);
        assert.equal(status, 401, `${path}: ${text}`);
        assert.equal(answered['www-authenticate'], 'Bearer');
        assert.match(text, /authentication/);
        assert.doesNotMatch(text, /search|ads|internal|sso|engineering/);
      }
      assert.equal(provider.seen.length, 0);
    });
  }

  it('a duplicate header line does not choose among credentials', async () => {
    const body = JSON.stringify(BODY);
    for (const lines of [
      [`authorization: Bearer ${KEY}`, 'authorization: Bearer other'],
      ['authorization: Bearer other', `authorization: Bearer ${KEY}`],
      [`x-api-key: ${KEY}`, 'x-api-key: other'],
      [`Authorization: Bearer ${KEY}, Bearer other`],
    ]) {
      const raw = await rawCall(gateway.port);
      await raw.write(head('/v1/chat/completions', [...lines, `content-length: ${body.length}`]) + body);
      await waitFor('an answer', () => raw.status() !== undefined);
      assert.equal(raw.status(), 401, lines.join());
      raw.socket.destroy();
    }
    assert.equal(provider.seen.length, 0);
  });

  it('a credential in the trailers does not count', async () => {
    const body = JSON.stringify(BODY);
    const raw = await rawCall(gateway.port);
    const lines = ['transfer-encoding: chunked', 'trailer: authorization'];
    const chunk = `${body.length.toString(16)}\r\n${body}\r\n0\r\nauthorization: Bearer ${KEY}\r\n\r\n`;
    await raw.write(head('/v1/chat/completions', lines) + chunk);
    await waitFor('an answer', () => raw.status() !== undefined);
    assert.equal(raw.status(), 401);
    raw.socket.destroy();
    assert.equal(provider.seen.length, 0);
  });

  it('a request without a credential is refused before its body arrives', async () => {
    const raw = await rawCall(gateway.port);
    await raw.write(head('/v1/chat/completions', ['content-length: 1000000']));
    await waitFor('an answer', () => raw.status() !== undefined);
    assert.equal(raw.status(), 401);
    raw.socket.destroy();
  });

  const models: readonly (readonly [model: string, code: string])[] = [
    ['GPT-4o-mini', 'model_not_allowed'],
    [`${MODEL} `, 'model_not_allowed'],
    ['gpt-4\u043e-mini', 'model_not_allowed'],
    ['gpt-*', 'model_not_allowed'],
    ['*', 'model_not_allowed'],
    ['cheap', 'model_not_allowed'],
    ['no-such-model', 'model_not_allowed'],
    ['gpt-3.5-turbo-instruct', 'model_not_allowed'],
  ];
  for (const [model, code] of models) {
    it(`a caller who may use ${MODEL} gets ${code} for ${JSON.stringify(model)}`, async () => {
      const { status, json } = await chat(bearer(OTHER_KEY), { ...BODY, model });
      assert.deepEqual([status, json.error.code], [403, code]);
      assert.equal(provider.seen.length, 0);
    });
  }

  it('endpoint and condition of a rule must match', async () => {
    assert.equal((await chat(bearer(OTHER_KEY))).status, 200);
    for (const [path, body] of [
      ['/v1/chat/completions', { ...BODY, max_tokens: 101 }],
      ['/v1/chat/completions', { ...BODY, max_tokens: undefined }],
      ['/v1/chat/completions', { ...BODY, n: 3 }],
      ['/v1/responses', { model: MODEL, input: 'x', max_output_tokens: 50 }],
      ['/v1/files/f1', undefined],
    ] as const) {
      const { status, json } = await chat(bearer(OTHER_KEY), body, path);
      assert.deepEqual([status, json.error.code], [403, 'forbidden'], `${path} ${JSON.stringify(body)}`);
    }
    assert.equal(provider.seen.length, 1);
  });

  it('new keys of the issuer are fetched when a token names one', async () => {
    await issuer.rotateKeys({ dropOld: true });
    const token = await issuer.issueToken({ claims });
    await waitFor('the new key', async () => (await chat(bearer(token))).status === 200, 20_000);
  });

  it('known keys go on while the issuer is down', async () => {
    const token = await issuer.issueToken({ claims });
    await issuer.down();
    assert.equal((await chat(bearer(token))).status, 200);
    assert.equal((await chat(bearer(`${token.slice(0, -8)}AAAAAAAA`))).status, 401);
    await issuer.up();
  });

  it('a removed key stops working within a second, and its open streams end', async () => {
    const { text, done } = await openStream(KEY);
    await waitFor('the first chunk', () => text().includes('data:'));
    const unary = chat({ ...bearer(KEY), 'x-mock': JSON.stringify({ tokens: 5, delayMs: 20_000 }) });
    await waitFor('both requests', () => provider.seen.length === 2);
    gateway.edit([...documents, ...keys.slice(1)]);
    const ended = await within(1_000, 'the end of the stream', done);
    assert.ok(ended.complete);
    assert.match(ended.text, /revoked or has expired/);
    assert.equal((await within(1_000, 'the refusal', unary)).status, 401);
    assert.equal((await chat(bearer(KEY))).status, 401);
    assert.equal((await chat(bearer(OTHER_KEY))).status, 200);
  });

  it('a stream ends when the key of its caller expires', async () => {
    const expires = new Date(Date.now() + 4_000).toISOString();
    const secret = keySecret('key-short', KEY, { tenant: 'search', user: 'batch', groups: 'engineering', expires });
    gateway.edit([...documents, ...keys.slice(1), secret]);
    await waitFor('the new key', async () => (await chat(bearer(KEY))).status === 200);
    const { done } = await openStream(KEY);
    const ended = await within(6_000, 'the end of the stream', done);
    assert.match(ended.text, /revoked or has expired/);
    assert.ok(Date.now() >= Date.parse(expires));
  });

  function openStream(key: string) {
    const body = { ...BODY, stream: true, max_tokens: 5000 };
    return open(`${gateway.url}/v1/chat/completions`, body, {
      headers: bearer(key),
      mock: { tokens: 5000, paceMs: 50 },
    });
  }
});
