/**
 * Runs the official OpenAI client, unmodified, through the real gateway. The client must not notice
 * the gateway.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import OpenAI from 'openai';
import { call } from './support/client.ts';
import { errorOf, mock, openaiClient, say } from './support/clients.ts';
import { countedWay } from './support/connections.ts';
import { waitFor } from './support/wait.ts';
import { wordsOf } from './support/words.ts';
import { MODEL, startWorld, type World } from './support/world.ts';

let world: World;
let openai: OpenAI;

before(async () => {
  world = await startWorld();
  openai = openaiClient(world.gateway.url);
});
after(() => world?.stop());
beforeEach(() => world.provider.forget());

function lastSeen() {
  const seen = world.provider.seen.at(-1);
  assert.ok(seen, 'the provider saw no request');
  return seen;
}

const tools = [
  {
    type: 'function' as const,
    function: {
      name: 'weather',
      description: 'The weather at a place',
      parameters: { type: 'object', properties: { location: { type: 'string' } }, required: ['location'] },
    },
  },
];

describe('the OpenAI client', () => {
  it('receives unary chat completions', async () => {
    const { result, record } = await world.gateway.recordOf(async () =>
      openai.chat.completions.create({ model: MODEL, messages: say('Hello') }, mock({ tokens: 12 })).withResponse(),
    );
    assert.equal(result.data.choices[0]?.message.content, wordsOf(12));
    assert.equal(result.data.choices[0]?.finish_reason, 'stop');
    assert.equal(result.data.usage?.completion_tokens, 12);
    assert.equal(result.response.headers.get('x-request-id') !== null, true, 'the provider’s own headers arrive');
    assert.equal(record.model, MODEL);
    assert.equal(record.status, 200);
    assert.equal(record.inputTokens, result.data.usage?.prompt_tokens);
    assert.equal(record.outputTokens, 12);
    assert.equal(record.source, 'provider');
  });

  it('receives streamed chat completions without usage if it did not request usage', async () => {
    const { result, record } = await world.gateway.recordOf(async () => {
      const chunks = [];
      const stream = await openai.chat.completions.create(
        { model: MODEL, messages: say('Hello'), stream: true },
        mock({ tokens: 30, paceMs: 1 }),
      );
      for await (const chunk of stream) {
        chunks.push(chunk);
      }
      return chunks;
    });
    assert.equal(result.map((chunk) => chunk.choices[0]?.delta.content ?? '').join(''), wordsOf(30));
    assert.ok(
      result.every((chunk) => chunk.choices.length > 0 && (chunk.usage ?? null) === null),
      'no usage chunk',
    );
    assert.equal(JSON.parse(lastSeen().body).stream_options.include_usage, true, 'the provider was asked for usage');
    assert.equal(record.source, 'provider');
    assert.equal(record.outputTokens, 30);
    assert.equal(record.inputTokens, lastSeen().inputTokens);
  });

  it('receives streamed chat completions with usage if it requested usage', async () => {
    const stream = await openai.chat.completions.create(
      { model: MODEL, messages: say('Hello'), stream: true, stream_options: { include_usage: true } },
      mock({ tokens: 30 }),
    );
    const chunks = [];
    for await (const chunk of stream) {
      chunks.push(chunk);
    }
    assert.equal(chunks.at(-1)?.usage?.completion_tokens, 30);
    assert.equal(chunks.at(-1)?.choices.length, 0);
  });

  it('has its request body edited only where necessary', async () => {
    const body = `{ "messages" : [{"role":"user","content":"caf\\u00e9 \\ud83d\\ude00"}],\n "model":"${MODEL}", "temperature":1e0 , "seed": 12345678901234567890}`;
    const { status } = await call(`${world.gateway.url}/v1/chat/completions`, body, { mock: { tokens: 3 } });
    assert.equal(status, 200);
    assert.equal(lastSeen().body, body);
  });

  it('receives unary and streamed tool calls', async () => {
    const request = { model: MODEL, messages: say('The weather in Reykjavik?'), tools };
    const plain = await openai.chat.completions.create(request, mock({ tool: true, tokens: 5 }));
    const [call] = plain.choices[0]?.message.tool_calls ?? [];
    assert.equal(call?.type === 'function' && call.function.name, 'weather');
    const runner = openai.chat.completions.stream(request, mock({ tool: true, tokens: 5 }));
    const final = await runner.finalChatCompletion();
    const [streamed] = final.choices[0]?.message.tool_calls ?? [];
    assert.deepEqual(JSON.parse(streamed?.type === 'function' ? streamed.function.arguments : ''), {
      location: wordsOf(5),
    });
    assert.equal(final.choices[0]?.finish_reason, 'tool_calls');
  });

  for (const [status, type] of [
    [400, OpenAI.BadRequestError],
    [404, OpenAI.NotFoundError],
    [429, OpenAI.RateLimitError],
    [500, OpenAI.InternalServerError],
  ] as const) {
    it(`receives the provider's ${status} as ${type.name} at no cost`, async () => {
      const { result, record } = await world.gateway.recordOf(() =>
        errorOf(openai.chat.completions.create({ model: MODEL, messages: say('Hello') }, mock({ status }))),
      );
      assert.ok(result instanceof type, String(result));
      assert.equal(result.code, `mock_${status}`);
      assert.equal(record.status, status);
      assert.equal(record.inputTokens ?? 0, 0);
      assert.equal(record.outputTokens ?? 0, 0);
    });
  }

  it('receives a NotFoundError for an unknown model', async () => {
    const error = await errorOf(
      openai.chat.completions.create({ model: 'nobody-serves-this', messages: say('Hello') }),
    );
    assert.ok(error instanceof OpenAI.NotFoundError, String(error));
    assert.equal(error.code, 'model_not_found');
    assert.equal(world.provider.seen.length, 0);
  });

  it('closes the upstream with an abort, and what arrived is charged', async () => {
    const { result: received, record } = await world.gateway.recordOf(async () => {
      const stream = await openai.chat.completions.create(
        { model: MODEL, messages: say('Hello'), stream: true },
        mock({ tokens: 2_000, paceMs: 5 }),
      );
      let count = 0;
      for await (const chunk of stream) {
        if (chunk.choices[0]?.delta.content) {
          count += 1;
        }
        if (count === 20) {
          break;
        }
      }
      return count;
    });
    await waitFor('closed upstream', () => lastSeen().abortedAtMs !== undefined, 2_000);
    assert.ok((record.outputTokens ?? 0) >= received, `${record.outputTokens} charged, ${received} received`);
    assert.ok(
      (record.outputTokens ?? 0) <= lastSeen().outputTokens,
      `${record.outputTokens} of ${lastSeen().outputTokens}`,
    );
    assert.equal(record.source, 'estimated');
  });

  it('can send a prompt of 10 MB', async () => {
    const content = 'word '.repeat(2 << 20);
    const answer = await openai.chat.completions.create({ model: MODEL, messages: say(content) }, mock({ tokens: 3 }));
    assert.equal(answer.usage?.completion_tokens, 3);
    assert.ok(lastSeen().bodyBytes > content.length);
  });

  it('receives unary and streamed responses', async () => {
    const { result, record } = await world.gateway.recordOf(() =>
      openai.responses.create({ model: MODEL, input: 'Hello' }, mock({ tokens: 9 })),
    );
    assert.equal(result.output_text, wordsOf(9));
    assert.equal(record.outputTokens, 9);
    const stream = openai.responses.stream({ model: MODEL, input: 'Hello' }, mock({ tokens: 25, paceMs: 1 }));
    const final = await stream.finalResponse();
    assert.equal(final.output_text, wordsOf(25));
    assert.equal(final.usage?.output_tokens, 25);
  });

  it('receives unary and streamed completions', async () => {
    const plain = await openai.completions.create(
      { model: 'gpt-3.5-turbo-instruct', prompt: 'Hello', max_tokens: 50 },
      mock({ tokens: 9 }),
    );
    assert.equal(plain.choices[0]?.text, wordsOf(9));
    const stream = await openai.completions.create(
      { model: 'gpt-3.5-turbo-instruct', prompt: 'Hello', max_tokens: 50, stream: true },
      mock({ tokens: 9 }),
    );
    let text = '';
    for await (const chunk of stream) {
      text += chunk.choices[0]?.text ?? '';
    }
    assert.equal(text, wordsOf(9));
  });

  it('receives embeddings', async () => {
    const { result, record } = await world.gateway.recordOf(() =>
      openai.embeddings.create({ model: 'text-embedding-3-small', input: ['one two', 'three'] }),
    );
    assert.deepEqual(Array.from(result.data[0]?.embedding ?? []), [0.5, -0.25, 0.125]);
    assert.equal(record.inputTokens, result.usage.prompt_tokens);
    assert.equal(record.outputTokens ?? 0, 0);
  });

  it('lists models', async () => {
    const models = (await openai.models.list()).data.map((model) => model.id);
    assert.ok(models.includes(MODEL) && models.includes('cheap'), String(models));
    assert.equal(world.provider.seen.length, 0);
  });

  it('can use an alias for which the backend receives its own model name', async () => {
    const { record } = await world.gateway.recordOf(() =>
      openai.chat.completions.create({ model: 'cheap', messages: say('Hello') }, mock({ tokens: 3 })),
    );
    assert.equal(JSON.parse(lastSeen().body).model, MODEL);
    assert.equal(record.model, 'cheap');
  });

  it('reuses its connection for 200 requests', async (context) => {
    const way = await countedWay(world.gateway.port);
    context.after(() => way.stop());
    const client = openaiClient(way.url);
    for (let index = 0; index < 100; index += 1) {
      const request = { model: MODEL, messages: say('Hello') };
      const plain = await client.chat.completions.create(request, mock({ tokens: 2 }));
      const streamed = await client.chat.completions.stream(request, mock({ tokens: 3 })).finalContent();
      assert.deepEqual([plain.choices[0]?.message.content, streamed], [wordsOf(2), wordsOf(3)], `request ${index}`);
    }
    // The client opens a second connection if a request begins before the first one is back in its
    // pool.
    assert.ok(way.connections <= 2, `${way.connections}`);
  });
});
