/** Guardrails before real Envoy: what the provider gets, and what a blocked client is told. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type Gateway, startGateway } from './support/gateway.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { backend, type Document, quotaPolicy, route, teamQuota } from './support/resources.ts';
import { backends, CLAUDE, MODEL, rules } from './support/world.ts';

const GEMINI = 'gemini-3-flash';
const ADDRESS = 'jane.doe@example.com';
const CARD = '4111 1111 1111 1111';

const target = { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'ai' };

const policy: Document = {
  apiVersion: 'tallygate.dev/v1alpha1',
  kind: 'AIGuardrailPolicy',
  metadata: { name: 'company', namespace: 'default' },
  spec: {
    targetRefs: [target],
    rules: [
      {
        name: 'addresses',
        phases: ['Request'],
        detect: { type: 'Builtin', builtin: { detectors: ['Email'] } },
        action: { type: 'Mask' },
      },
      {
        name: 'cards',
        phases: ['Request'],
        detect: { type: 'Builtin', builtin: { detectors: ['CreditCard'] } },
        action: { type: 'Block', block: { message: 'Numbers of cards may not be sent.' } },
      },
    ],
  },
};

interface DialectCase {
  readonly name: string;
  readonly path: string;
  readonly body: (text: string) => object;
  /** The code and the message in the error of a blocked request. */
  readonly errorOf: (body: { readonly error: Record<string, unknown> }) => unknown;
}

const cases: readonly DialectCase[] = [
  {
    name: 'chat completions',
    path: '/v1/chat/completions',
    body: (content) => ({ model: MODEL, messages: [{ role: 'user', content }] }),
    errorOf: ({ error }) => [error['code'], error['message']],
  },
  {
    name: 'responses',
    path: '/v1/responses',
    body: (input) => ({ model: MODEL, input }),
    errorOf: ({ error }) => [error['code'], error['message']],
  },
  {
    name: 'messages',
    path: '/v1/messages',
    body: (text) => ({ model: CLAUDE, max_tokens: 9, messages: [{ role: 'user', content: [{ type: 'text', text }] }] }),
    errorOf: ({ error }) => [error['code'], error['message']],
  },
  {
    name: 'messages, converted',
    path: '/v1/messages',
    body: (content) => ({ model: MODEL, max_tokens: 9, messages: [{ role: 'user', content }] }),
    errorOf: ({ error }) => [error['code'], error['message']],
  },
  {
    name: 'count_tokens',
    path: '/v1/messages/count_tokens',
    body: (content) => ({ model: CLAUDE, messages: [{ role: 'user', content }] }),
    errorOf: ({ error }) => [error['code'], error['message']],
  },
  {
    name: 'generateContent',
    path: `/v1beta/models/${GEMINI}:generateContent`,
    body: (text) => ({ contents: [{ role: 'user', parts: [{ text }] }] }),
    errorOf: ({ error }) => [error['code'], error['message']],
  },
];

describe('guardrails', () => {
  let provider: Provider;
  let gateway: Gateway;

  before(async () => {
    provider = await startProvider({ tokens: 5 });
    gateway = await startGateway([
      ...backends(provider.port),
      backend('gemini', { schema: 'GoogleGemini', port: provider.port }),
      route('chat', [...rules, { name: 'gemini', models: ['gemini-*'], backendRefs: [{ name: 'gemini' }] }], {
        passthrough: [{ method: 'POST', path: '/v1/files', backendRef: { name: 'openai' } }],
      }),
      quotaPolicy('teams', 'chat', [{ ...teamQuota('tokens', 'TotalTokens', 1_000_000), unmetered: 'Allow' }]),
      policy,
    ]);
  });
  after(async () => {
    await provider?.stop();
    await gateway?.stop();
  });
  beforeEach(() => provider.forget());

  async function post(path: string, body: object | string) {
    const headers = { 'content-type': 'application/json', 'x-team': 'red', 'x-api-key': 'k' };
    const sent = typeof body === 'string' ? body : JSON.stringify(body);
    const { result, record } = await gateway.recordOf(async () => {
      const response = await fetch(gateway.url + path, { method: 'POST', headers, body: sent });
      return { status: response.status, text: await response.text() };
    });
    return { ...result, record };
  }

  for (const { name, path, body, errorOf } of cases) {
    it(`the provider gets the masked prompt: ${name}`, async () => {
      const { status, record } = await post(path, body(`Write to ${ADDRESS}, "now".`));
      assert.equal(status, 200);
      const seen = provider.seen.at(-1)!.body;
      assert.ok(seen.includes('Write to <Email-1>, \\"now\\".'), seen);
      assert.equal(JSON.stringify(provider.seen).includes(ADDRESS), false);
      const found = { 'default/company/addresses': { action: 'mask', findings: { Email: 1 } } };
      assert.deepEqual(JSON.parse(record.line).guardrails, found);
      assert.equal(record.line.includes(ADDRESS), false);
    });

    it(`a blocked request gets an error of its API, and costs nothing: ${name}`, async () => {
      const { status, text, record } = await post(path, body(`My card is ${CARD}.`));
      assert.equal(status, 400);
      assert.match(JSON.stringify(errorOf(JSON.parse(text))), /Numbers of cards may not be sent\./);
      assert.deepEqual(provider.seen, []);
      assert.equal(JSON.parse(record.line).error, 'content_blocked');
      assert.equal(record.decision, 'none');
      assert.equal(record.line.includes('4111'), false);
    });
  }

  it('a prompt of 1 MB is masked as a whole', async () => {
    const text = `${'some words '.repeat(90_000)}${ADDRESS}`;
    const { status } = await post('/v1/chat/completions', {
      model: MODEL,
      messages: [{ role: 'user', content: text }],
    });
    assert.equal(status, 200);
    const seen = provider.seen.at(-1)!;
    assert.equal(seen.bodyBytes > 900_000, true);
    assert.equal(seen.body.includes(ADDRESS), false);
  });

  it('an endpoint that is not read is refused', async () => {
    const { status, record } = await post('/v1/files', ADDRESS);
    assert.equal(status, 400);
    assert.equal(JSON.parse(record.line).error, 'content_blocked');
    assert.deepEqual(provider.seen, []);
  });
});
