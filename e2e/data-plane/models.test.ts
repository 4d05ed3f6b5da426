/** The lists of models, read by the official clients. */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import type Anthropic from '@anthropic-ai/sdk';
import type { GoogleGenAI } from '@google/genai';
import type OpenAI from 'openai';
import { anthropicClient, errorOf, googleClient, openaiClient } from './support/clients.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { backend, route } from './support/resources.ts';

const prices = { currency: 'USD', perMillionTokens: { input: '0.15', output: '0.60' } };
const CLAUDES = ['claude-a', 'claude-b', 'claude-c'];

let gateway: Gateway;
let openAi: OpenAI;
let anthropic: Anthropic;
let google: GoogleGenAI;

before(async () => {
  const claude = CLAUDES.map((name) => ({ name, contextTokens: 200_000 }));
  gateway = await startGateway([
    backend('openai', {
      port: 9,
      models: [{ name: 'gpt-4o', contextTokens: 128_000, maxOutputTokens: 16_384, prices }],
    }),
    backend('anthropic', { schema: 'Anthropic', port: 9, models: claude }),
    route('chat', [
      { name: 'gpt', models: ['gpt-*', 'alias'], backendRefs: [{ name: 'openai' }] },
      {
        name: 'batch',
        models: ['batch'],
        backendRefs: [{ name: 'openai' }],
        more: { headers: [{ name: 'x-tier', value: 'batch' }] },
      },
      { name: 'claude', models: ['claude-*'], backendRefs: [{ name: 'anthropic' }] },
    ]),
  ]);
  openAi = openaiClient(gateway.url);
  anthropic = anthropicClient(gateway.url);
  google = googleClient(gateway.url);
});

after(() => gateway?.stop());

it('the OpenAI client lists models with limits and prices where known', async () => {
  const models: unknown[] = [];
  for await (const model of openAi.models.list()) {
    models.push(model);
  }
  const known = {
    context_length: 128_000,
    max_completion_tokens: 16_384,
    prices: { currency: 'USD', per_million_tokens: { input: '0.15', output: '0.6' } },
  };
  const base = { object: 'model', created: 0, owned_by: 'tallygate' };
  assert.deepEqual(models, [
    { id: 'alias', ...base },
    ...CLAUDES.map((id) => ({ id, ...base, context_length: 200_000 })),
    { id: 'gpt-4o', ...base, ...known },
  ]);
  assert.equal((await openAi.models.retrieve('gpt-5')).id, 'gpt-5', 'a glob matches it');
});

it('a rule with header conditions lists its models for requests with these headers', async () => {
  const ids = async (headers: Record<string, string>) =>
    (await openaiClient(gateway.url, headers).models.list()).data.map(({ id }) => id);
  assert.deepEqual(await ids({ 'x-tier': 'batch' }), ['alias', 'batch', ...CLAUDES, 'gpt-4o']);
  assert.deepEqual(await ids({ 'x-tier': 'online' }), ['alias', ...CLAUDES, 'gpt-4o']);
});

it('the Anthropic client reads pages of any size', async () => {
  for (const limit of [1, 2, 3, 1000]) {
    const models: unknown[] = [];
    for await (const { id, max_input_tokens, max_tokens } of anthropic.models.list({ limit })) {
      models.push([id, max_input_tokens, max_tokens]);
    }
    assert.deepEqual(models, [
      ['alias', null, null],
      ...CLAUDES.map((id) => [id, 200_000, null]),
      ['gpt-4o', 128_000, 16_384],
    ]);
  }
  const one = await anthropic.models.retrieve('claude-b');
  assert.deepEqual([one.display_name, Date.parse(one.created_at), one.lifecycle], ['claude-b', 0, 'active']);
});

it("Google's client reads pages of any size", async () => {
  for (const pageSize of [1, 2, 3, 1000]) {
    const models: unknown[] = [];
    for await (const { name, inputTokenLimit, outputTokenLimit } of await google.models.list({
      config: { pageSize },
    })) {
      models.push([name, inputTokenLimit, outputTokenLimit]);
    }
    assert.deepEqual(models, [
      ['models/alias', undefined, undefined],
      ...CLAUDES.map((id) => [`models/${id}`, 200_000, undefined]),
      ['models/gpt-4o', 128_000, 16_384],
    ]);
  }
  const one = await google.models.get({ model: 'claude-b' });
  assert.deepEqual([one.name, one.displayName], ['models/claude-b', 'claude-b']);
  const error = await errorOf(google.models.get({ model: 'nothing' }));
  assert.match(String(error), /"code":404,.*"status":"NOT_FOUND"/);
});
