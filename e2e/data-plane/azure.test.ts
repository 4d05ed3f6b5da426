/** Official clients before backends of Azure OpenAI, with both forms of its paths. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { anthropicClient, errorOf, mock, openaiClient, say } from './support/clients.ts';
import { startGateway } from './support/gateway.ts';
import { startProvider } from './support/provider.ts';
import { backend, PROVIDER_KEY, quotaPolicy, route, teamQuota } from './support/resources.ts';
import { wordsOf } from './support/words.ts';
import type { World } from './support/world.ts';

let world: World;
let openai: OpenAI;
let anthropic: Anthropic;

before(async () => {
  const provider = await startProvider();
  const { port } = provider;
  const models = [{ name: 'my-gpt', maxOutputTokens: 4_096 }];
  const gateway = await startGateway([
    backend('current', { schema: 'AzureOpenAI', port, models }),
    backend('dated', { schema: 'AzureOpenAI', port, models, more: { azure: { apiVersion: '2024-10-21' } } }),
    route('azure', [
      { name: 'current', models: ['current'], backendRefs: [{ name: 'current', model: 'my-gpt' }] },
      { name: 'dated', models: ['dated'], backendRefs: [{ name: 'dated', model: 'my-gpt' }] },
    ]),
    quotaPolicy('team', 'azure', [teamQuota('tokens', 'OutputTokens', 40, { onMissingKey: 'Shared' })], {
      targetRefs: [{ group: 'tallygate.dev', kind: 'AIGatewayRoute', name: 'metered' }],
    }),
    route('metered', [{ name: 'metered', models: ['metered'], backendRefs: [{ name: 'dated', model: 'my-gpt' }] }]),
  ]);
  world = {
    provider,
    gateway,
    stop: async () => {
      await provider.stop();
      await gateway.stop();
    },
  };
  openai = openaiClient(gateway.url);
  anthropic = anthropicClient(gateway.url);
});
after(() => world?.stop());
beforeEach(() => world.provider.forget());

function lastSeen() {
  const seen = world.provider.seen.at(-1);
  assert.ok(seen, 'the provider saw no request');
  return seen;
}

for (const [model, path] of [
  ['current', (operation: string) => `/openai/v1/${operation}`],
  ['dated', (operation: string) => `/openai/deployments/my-gpt/${operation}?api-version=2024-10-21`],
] as const) {
  describe(`a backend of the ${model} API of Azure`, () => {
    it('answers chat completions, counted by its usage', async () => {
      const { result, record } = await world.gateway.recordOf(() =>
        openai.chat.completions.create({ model, messages: say('Hello') }, mock({ tokens: 12 })),
      );
      assert.equal(result.choices[0]?.message.content, wordsOf(12));
      assert.equal(record.outputTokens, 12);
      assert.equal(record.source, 'provider');
      const { path: seen, headers, body } = lastSeen();
      assert.equal(seen, path('chat/completions'));
      assert.equal(headers['api-key'], PROVIDER_KEY);
      assert.equal(headers['authorization'], undefined);
      assert.equal(JSON.parse(body).model, 'my-gpt');
    });

    it('streams chat completions, without usage that nobody asked for', async () => {
      const { result, record } = await world.gateway.recordOf(async () => {
        const stream = await openai.chat.completions.create(
          { model, messages: say('Hello'), stream: true },
          mock({ tokens: 30, paceMs: 1 }),
        );
        return Array.fromAsync(stream);
      });
      assert.equal(result.map((chunk) => chunk.choices[0]?.delta.content ?? '').join(''), wordsOf(30));
      assert.ok(result.every((chunk) => chunk.usage === undefined));
      // The results of the content filter come first, and pass.
      assert.deepEqual(result[0]?.choices, []);
      assert.equal(record.outputTokens, 30);
    });

    it('answers embeddings', async () => {
      await openai.embeddings.create({ model, input: 'Hello' });
      assert.equal(lastSeen().path, path('embeddings'));
    });

    it('answers clients of messages, by conversion', async () => {
      const base = { model, max_tokens: 500, messages: say('Hello') };
      const plain = await anthropic.messages.create(base, mock({ tokens: 12 }));
      const final = await anthropic.messages.stream(base, mock({ tokens: 12, paceMs: 1 })).finalMessage();
      for (const { content, usage } of [plain, final]) {
        assert.deepEqual(
          content.map((block) => block.type === 'text' && block.text),
          [wordsOf(12)],
        );
        assert.equal(usage.output_tokens, 12);
      }
      assert.equal(lastSeen().path, path('chat/completions'));
      assert.equal(lastSeen().headers['api-key'], PROVIDER_KEY);
    });

    it('refuses with its own errors', async () => {
      const request = openai.chat.completions.create({ model, messages: say('Hello') }, mock({ status: 429 }));
      const error = await errorOf(request);
      assert.ok(error instanceof OpenAI.RateLimitError, String(error));
      assert.match(error.message, /mock provider error 429/);
    });
  });
}

describe('a backend of the responses API of Azure', () => {
  it('names the deployment in the body', async () => {
    const response = await openai.responses.create({ model: 'current', input: 'Hello' }, mock({ tokens: 5 }));
    assert.equal(response.output_text, wordsOf(5));
    assert.equal(lastSeen().path, '/openai/v1/responses');
    assert.equal(JSON.parse(lastSeen().body).model, 'my-gpt');
  });
});

describe('a stream of Azure', () => {
  it('ends at the end of a budget', async () => {
    const stream = await openai.chat.completions.create(
      { model: 'metered', messages: say('Hello'), stream: true },
      mock({ tokens: 2_000, paceMs: 1 }, { 'x-team': 'red' }),
    );
    const chunks = await Array.fromAsync(stream);
    assert.equal(chunks.at(-1)?.choices[0]?.finish_reason, 'length');
  });
});
