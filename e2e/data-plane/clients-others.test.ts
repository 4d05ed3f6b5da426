/** Runs the official Anthropic client and plain TGI requests through the real gateway. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { call } from './support/client.ts';
import { anthropicClient, errorOf, mock, openaiClient, say } from './support/clients.ts';
import { countedWay } from './support/connections.ts';
import { documentsOf } from './support/sse.ts';
import { waitFor } from './support/wait.ts';
import { wordsOf } from './support/words.ts';
import { CLAUDE, MODEL, startWorld, TGI_HEADERS, type World } from './support/world.ts';

let world: World;
let anthropic: Anthropic;

before(async () => {
  world = await startWorld();
  anthropic = anthropicClient(world.gateway.url);
});
after(() => world?.stop());
beforeEach(() => world.provider.forget());

function lastSeen() {
  const seen = world.provider.seen.at(-1);
  assert.ok(seen, 'the provider saw no request');
  return seen;
}

describe('the Anthropic client', () => {
  it('receives unary messages', async () => {
    const { result, record } = await world.gateway.recordOf(() =>
      anthropic.messages.create({ model: CLAUDE, max_tokens: 100, messages: say('Hello') }, mock({ tokens: 12 })),
    );
    assert.equal(result.content[0]?.type === 'text' && result.content[0].text, wordsOf(12));
    assert.equal(record.outputTokens, 12);
    assert.equal(record.inputTokens, result.usage.input_tokens);
    assert.equal(record.source, 'provider');
  });

  it('receives streamed messages', async () => {
    const { result, record } = await world.gateway.recordOf(() =>
      anthropic.messages
        .stream({ model: CLAUDE, max_tokens: 100, messages: say('Hello') }, mock({ tokens: 30, paceMs: 1 }))
        .finalMessage(),
    );
    assert.equal(result.content[0]?.type === 'text' && result.content[0].text, wordsOf(30));
    assert.equal(result.stop_reason, 'end_turn');
    assert.equal(record.outputTokens, 30);
    assert.equal(record.source, 'provider');
  });

  it('receives unary and streamed tool calls', async () => {
    const request = {
      model: CLAUDE,
      max_tokens: 100,
      messages: say('The weather in Reykjavik?'),
      tools: [{ name: 'weather', input_schema: { type: 'object' as const } }],
    };
    const plain = await anthropic.messages.create(request, mock({ tool: true, tokens: 5 }));
    assert.equal(plain.content[0]?.type, 'tool_use');
    const streamed = await anthropic.messages.stream(request, mock({ tool: true, tokens: 5 })).finalMessage();
    assert.deepEqual(streamed.content[0]?.type === 'tool_use' && streamed.content[0].input, { location: wordsOf(5) });
  });

  for (const [status, type] of [
    [400, Anthropic.BadRequestError],
    [404, Anthropic.NotFoundError],
    [429, Anthropic.RateLimitError],
    [500, Anthropic.InternalServerError],
  ] as const) {
    it(`receives the provider's ${status} as ${type.name}`, async () => {
      const error = await errorOf(
        anthropic.messages.create({ model: CLAUDE, max_tokens: 9, messages: say('Hello') }, mock({ status })),
      );
      assert.ok(error instanceof type, String(error));
      assert.equal(error.requestID !== undefined, true);
    });
  }

  it('receives a NotFoundError for an unknown model', async () => {
    const error = await errorOf(anthropic.messages.create({ model: 'nobody', max_tokens: 9, messages: say('Hello') }));
    assert.ok(error instanceof Anthropic.NotFoundError, String(error));
    assert.equal((error.error as { error?: { type?: string } }).error?.type, 'not_found_error');
  });

  it('closes the upstream with an abort, and what arrived is charged', async () => {
    const { result: received, record } = await world.gateway.recordOf(async () => {
      const stream = anthropic.messages.stream(
        { model: CLAUDE, max_tokens: 5_000, messages: say('Hello') },
        mock({ tokens: 2_000, paceMs: 5 }),
      );
      let count = 0;
      for await (const event of stream) {
        if (event.type === 'content_block_delta') {
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
    assert.equal(record.inputTokens, lastSeen().inputTokens, 'input was told by message_start');
  });

  it('counts tokens for free', async () => {
    const { result, record } = await world.gateway.recordOf(() =>
      anthropic.messages.countTokens({ model: CLAUDE, messages: say('Hello there') }),
    );
    assert.ok(result.input_tokens > 0);
    assert.equal(record.inputTokens ?? 0, 0);
    assert.equal(lastSeen().path, '/v1/messages/count_tokens');
  });

  it('can send a prompt of 10 MB', async () => {
    const content = 'word '.repeat(2 << 20);
    const answer = await anthropic.messages.create(
      { model: CLAUDE, max_tokens: 9, messages: say(content) },
      mock({ tokens: 3 }),
    );
    assert.equal(answer.usage.output_tokens, 3);
  });

  it('reuses its connection for 200 requests', async (context) => {
    const way = await countedWay(world.gateway.port);
    context.after(() => way.stop());
    const client = anthropicClient(way.url);
    for (let index = 0; index < 100; index += 1) {
      const request = { model: CLAUDE, max_tokens: 9, messages: say('Hello') };
      const plain = await client.messages.create(request, mock({ tokens: 2 }));
      const streamed = await client.messages.stream(request, mock({ tokens: 3 })).finalText();
      const text = plain.content[0]?.type === 'text' && plain.content[0].text;
      assert.deepEqual([text, streamed], [wordsOf(2), wordsOf(3)], `request ${index}`);
    }
    // The client opens a second connection if a request begins before the first one is back in its
    // pool.
    assert.ok(way.connections <= 2, `${way.connections}`);
  });

  it('lists models of all backends, because requests are converted', async () => {
    const names = (await anthropic.models.list()).data.map((model) => model.id);
    assert.ok(names.includes(CLAUDE) && names.includes(MODEL), String(names));
  });
});

describe('a client of Hugging Face TGI', () => {
  const request = { inputs: 'Once upon a time', parameters: { max_new_tokens: 40, details: true } };

  it('receives responses of /generate', async () => {
    const { result, record } = await world.gateway.recordOf(() =>
      call(`${world.gateway.url}/generate`, request, { headers: TGI_HEADERS, mock: { tokens: 12 } }),
    );
    assert.equal(result.status, 200, result.text);
    assert.equal(result.json.generated_text, wordsOf(12));
    assert.equal(record.outputTokens, 12);
    assert.equal(record.source, 'provider');
  });

  it('receives streams of /generate_stream', async () => {
    const { result, record } = await world.gateway.recordOf(() =>
      call(`${world.gateway.url}/generate_stream`, request, { headers: TGI_HEADERS, mock: { tokens: 12, paceMs: 1 } }),
    );
    assert.equal(result.text, lastSeen().answer);
    const events = documentsOf(result.text) as { token: { text: string } }[];
    assert.equal(events.map((event) => event.token.text).join(''), wordsOf(12));
    assert.equal(record.outputTokens, 12);
  });

  it('receives responses and streams of /', async () => {
    const { status, json } = await call(`${world.gateway.url}/`, request, {
      headers: TGI_HEADERS,
      mock: { tokens: 5 },
    });
    assert.equal(status, 200);
    assert.equal(json.generated_text, wordsOf(5));
  });

  it('receives OpenAI-compatible chat completions', async () => {
    const client = openaiClient(world.gateway.url, TGI_HEADERS);
    const answer = await client.chat.completions.create({ model: 'tgi', messages: say('Hello') }, mock({ tokens: 5 }));
    assert.equal(answer.choices[0]?.message.content, wordsOf(5));
  });

  it('receives errors of the gateway in the format of TGI', async () => {
    const { status, json } = await call(`${world.gateway.url}/generate`, '{"inputs":', { headers: TGI_HEADERS });
    assert.equal(status, 400);
    assert.equal(typeof json.error, 'string');
  });
});
