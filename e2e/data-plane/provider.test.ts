/**
 * Tests the mock provider directly with the official clients, because the other tests rely on it as
 * the truth.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import OpenAI from 'openai';
import { call, open } from './support/client.ts';
import { anthropicClient, errorOf, mock, openaiClient, say } from './support/clients.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { eventsOf } from './support/sse.ts';
import { waitFor } from './support/wait.ts';
import { wordsOf } from './support/words.ts';

let provider: Provider;
let url: string;
before(async () => {
  provider = await startProvider();
  url = `http://127.0.0.1:${provider.port}`;
});
after(() => provider.stop());
beforeEach(() => provider.forget());

function lastSeen() {
  const seen = provider.seen.at(-1);
  assert.ok(seen);
  return seen;
}

describe('the mock provider', () => {
  it('serves chat completions with streams, bounds, tools and usage', async () => {
    const client = openaiClient(url);
    const messages = say('Hello');
    const plain = await client.chat.completions.create(
      { model: 'm', messages, max_completion_tokens: 7 },
      mock({ tokens: 9 }),
    );
    assert.equal(plain.choices[0]?.message.content, wordsOf(7));
    assert.equal(plain.choices[0]?.finish_reason, 'length');
    assert.equal(plain.usage?.completion_tokens, 7);
    const final = await client.chat.completions
      .stream({ model: 'm', messages, stream_options: { include_usage: true } }, mock({ tokens: 9, hiddenTokens: 5 }))
      .finalChatCompletion();
    assert.equal(final.choices[0]?.message.content, wordsOf(9));
    assert.equal(final.usage?.completion_tokens, 14);
    assert.equal(lastSeen().outputTokens, 9);
    assert.equal(lastSeen().hiddenTokens, 5);
  });

  it('serves responses, completions and embeddings', async () => {
    const client = openaiClient(url);
    const stream = client.responses.stream({ model: 'm', input: 'Hello', max_output_tokens: 6 }, mock({ tokens: 9 }));
    const final = await stream.finalResponse();
    assert.equal(final.output_text, wordsOf(6));
    assert.equal(final.incomplete_details?.reason, 'max_output_tokens');
    const completion = await client.completions.create({ model: 'm', prompt: 'Hello' }, mock({ tokens: 9 }));
    assert.equal(completion.choices[0]?.text, wordsOf(9));
    const embedding = await client.embeddings.create({ model: 'm', input: 'Hello' });
    assert.deepEqual(Array.from(embedding.data[0]?.embedding ?? []), [0.5, -0.25, 0.125]);
  });

  it('serves messages', async () => {
    const client = anthropicClient(url);
    const request = { model: 'm', max_tokens: 5, messages: say('Hello') };
    const plain = await client.messages.create(request, mock({ tokens: 9 }));
    assert.equal(plain.stop_reason, 'max_tokens');
    const final = await client.messages.stream(request, mock({ tokens: 9 })).finalMessage();
    assert.equal(final.content[0]?.type === 'text' && final.content[0].text, wordsOf(5));
    assert.equal(final.usage.output_tokens, 5);
    assert.ok((await client.messages.countTokens({ model: 'm', messages: say('Hello') })).input_tokens > 0);
  });

  it('serves TGI', async () => {
    const { text } = await call(`${url}/generate_stream`, { inputs: 'Hello' }, { mock: { tokens: 4 } });
    const events = eventsOf(text).map((event) => JSON.parse(event.data));
    assert.equal(events.map((event) => event.token.text).join(''), wordsOf(4));
    assert.equal(events.at(-1).generated_text, wordsOf(4));
    assert.equal(events.at(-1).details.generated_tokens, 4);
  });

  it('sends errors and broken responses', async () => {
    const client = openaiClient(url);
    const request = { model: 'm', messages: say('Hello'), stream: true } as const;
    assert.ok(
      (await errorOf(client.chat.completions.create(request, mock({ status: 429 })))) instanceof OpenAI.RateLimitError,
    );
    const path = `${url}/v1/chat/completions`;
    await assert.rejects(call(path, request, { mock: { fail: { when: 'before', how: 'reset' } } }));
    for (const how of ['reset', 'close'] as const) {
      const broken = await call(path, request, {
        mock: { tokens: 50, paceMs: 1, fail: { when: 'in', how, chunks: 5 } },
      });
      assert.equal(broken.complete, false);
      assert.equal(broken.text.split(wordsOf(1)).length > 1, true);
      assert.equal(lastSeen().outputTokens, 5);
      const late = await call(path, request, { mock: { tokens: 5, fail: { when: 'after', how } } });
      assert.equal(late.complete, false);
      assert.ok(late.text.endsWith('data: [DONE]\n\n'));
    }
  });

  it('records readers that leave', async () => {
    const opened = await open(
      `${url}/v1/chat/completions`,
      { model: 'm', messages: say('Hello'), stream: true },
      { mock: { tokens: 1_000, paceMs: 5 } },
    );
    await waitFor('first tokens', () => opened.text().includes('the'));
    opened.abort();
    await waitFor('abort', () => lastSeen().abortedAtMs !== undefined, 1_000);
    assert.equal(provider.openCount(), 0);
  });

  for (const encoding of ['gzip', 'br', 'zstd'] as const) {
    it(`compresses streams with ${encoding}`, async () => {
      const response = await fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'x-mock': JSON.stringify({ tokens: 50, encoding }) },
        body: JSON.stringify({ model: 'm', messages: say('Hello'), stream: true }),
      });
      assert.equal(await response.text(), lastSeen().answer);
    });
  }
});
