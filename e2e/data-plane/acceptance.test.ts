/**
 * Runs a complete configuration as a user writes it (testdata/acceptance.yaml), with its fixed
 * ports.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import OpenAI from 'openai';
import { call } from './support/client.ts';
import { errorOf, mock, openaiClient, say } from './support/clients.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { claimPorts } from './support/ports.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { wordsOf } from './support/words.ts';

const file = path.join(import.meta.dirname, 'testdata/acceptance.yaml');
const GATEWAY_PORT = 8080;
const PROVIDER_PORT = 9800;
const KEY = 'sk-from-the-environment';

let provider: Provider;
let gateway: Gateway;
before(async () => {
  await claimPorts(GATEWAY_PORT, PROVIDER_PORT);
  provider = await startProvider({}, PROVIDER_PORT);
  gateway = await startGateway([], {
    yaml: readFileSync(file, 'utf8'),
    port: GATEWAY_PORT,
    environment: { PROVIDER_API_KEY: KEY },
  });
});
after(async () => {
  await provider?.stop();
  await gateway?.stop();
});

describe('acceptance.yaml', () => {
  it('serves the official client', async () => {
    const client = openaiClient(gateway.url, { 'x-team': 'red' });
    for (const model of ['gpt-4o-mini', 'gpt-4o-mini-2024-07-18', 'cheap']) {
      const answer = await client.chat.completions.create({ model, messages: say('Hello') }, mock({ tokens: 12 }));
      assert.equal(answer.choices[0]?.message.content, wordsOf(12));
    }
    assert.equal(JSON.parse(provider.seen.at(-1)?.body ?? '').model, 'gpt-4o-mini');
    assert.equal(provider.seen.at(-1)?.headers['authorization'], `Bearer ${KEY}`);
    assert.ok(!gateway.log().includes(KEY), 'no key in the log');
  });

  it('refuses requests without a team and beyond the limits', async () => {
    const url = `${gateway.url}/v1/chat/completions`;
    const body = { model: 'gpt-4o-mini', messages: say('Hello') };
    assert.equal((await call(url, body)).status, 400);
    const long = { ...body, messages: say('word '.repeat(30_000)) };
    assert.equal((await call(url, long, { headers: { 'x-team': 'red' } })).status, 413);
    const unknown = await errorOf(
      openaiClient(gateway.url, { 'x-team': 'red' }).chat.completions.create({
        model: 'gpt-5',
        messages: say('Hello'),
      }),
    );
    assert.ok(unknown instanceof OpenAI.NotFoundError);
  });

  it('enforces 600 requests per minute for each team', async () => {
    const url = `${gateway.url}/v1/chat/completions`;
    const body = { model: 'gpt-4o-mini', messages: say('Hello') };
    const ask = (team: string) => call(url, body, { headers: { 'x-team': team }, mock: { tokens: 1 } });
    const answers = [];
    for (let round = 0; round < 65; round += 1) {
      answers.push(...(await Promise.all(Array.from({ length: 10 }, () => ask('blue')))));
    }
    assert.equal(answers.filter((answer) => answer.status === 200).length, 600);
    const refused = answers.find((answer) => answer.status === 429);
    assert.equal(refused?.json.error.code, 'request_rate_exceeded');
    assert.equal(refused?.headers['x-ratelimit-limit-requests'], '600');
    assert.equal((await ask('green')).status, 200);
  });

  it('enforces 100,000 tokens per hour for each team', async () => {
    const url = `${gateway.url}/v1/chat/completions`;
    const ask = (stream: boolean) =>
      call(
        url,
        { model: 'gpt-4o-mini', stream, messages: say('Hello') },
        {
          headers: { 'x-team': 'gold' },
          mock: { tokens: 120_000, tokensAChunk: 500, paceMs: 2 },
        },
      );
    const cut = await ask(true);
    assert.equal(cut.status, 200);
    assert.ok(cut.text.includes('"finish_reason":"length"') && cut.text.endsWith('data: [DONE]\n\n'));
    // The rest was too little for the next chunk, but a smaller request can use it.
    let refused = await ask(false);
    for (let asked = 0; asked < 10 && refused.status === 200; asked += 1) {
      refused = await ask(false);
    }
    assert.equal(refused.status, 429);
    assert.equal(refused.json.error.code, 'quota_exceeded');
    assert.ok(Number(refused.headers['retry-after']) <= 3_600);
  });
});
