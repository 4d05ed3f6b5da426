/** The official clients, unmodified, through the real gateway: they must not notice that it is there. */
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, beforeEach, describe, it } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { call, open } from './support/client.ts';
import { anthropicClient, CLIENT_KEY, errorOf, mock, openaiClient, say } from './support/clients.ts';
import { head, rawCall } from './support/raw-client.ts';
import { PROVIDER_KEY, quotaPolicy, teamQuota } from './support/resources.ts';
import { documentsOf, eventsOf } from './support/sse.ts';
import { waitFor } from './support/wait.ts';
import { wordsOf } from './support/words.ts';
import { CLAUDE, MODEL, startWorld, TGI_HEADERS, type World } from './support/world.ts';

let world: World;
let openai: OpenAI;
let anthropic: Anthropic;

before(async () => {
  const day = { window: { type: 'Calendar', calendar: { unit: 'Day', timeZone: 'UTC' } }, onMissingKey: 'Shared' };
  world = await startWorld(
    [
      quotaPolicy('day', 'chat', [
        teamQuota('tokens', 'TotalTokens', 100_000_000, day),
        teamQuota('requests', 'Requests', 1_000_000, day),
      ]),
    ],
    { passthrough: [{ method: 'GET', path: '/v1/files/*', unmetered: 'Allow' }] },
  );
  openai = openaiClient(world.gateway.url);
  anthropic = anthropicClient(world.gateway.url);
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

describe('openai client', () => {
  it('chat, plain', async () => {
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

  it('chat, streamed, without usage where it was not asked for', async () => {
    const { result, record } = await world.gateway.recordOf(async () => {
      const chunks = [];
      const stream = await openai.chat.completions.create(
        { model: MODEL, messages: say('Hello'), stream: true },
        mock({ tokens: 30, paceMs: 1 }),
      );
      for await (const chunk of stream) chunks.push(chunk);
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

  it('chat, streamed, with usage where it was asked for', async () => {
    const stream = await openai.chat.completions.create(
      { model: MODEL, messages: say('Hello'), stream: true, stream_options: { include_usage: true } },
      mock({ tokens: 30 }),
    );
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    assert.equal(chunks.at(-1)?.usage?.completion_tokens, 30);
    assert.equal(chunks.at(-1)?.choices.length, 0);
  });

  it('the body is only edited where it must be', async () => {
    const body = `{ "messages" : [{"role":"user","content":"caf\\u00e9 \\ud83d\\ude00"}],\n "model":"${MODEL}", "temperature":1e0 , "seed": 12345678901234567890}`;
    const { status } = await call(`${world.gateway.url}/v1/chat/completions`, body, { mock: { tokens: 3 } });
    assert.equal(status, 200);
    assert.equal(lastSeen().body, body);
  });

  it('tools, plain and streamed', async () => {
    const request = { model: MODEL, messages: say('The weather in Reykjavik?'), tools };
    const plain = await openai.chat.completions.create(request, mock({ tool: true }));
    const [call] = plain.choices[0]?.message.tool_calls ?? [];
    assert.equal(call?.type === 'function' && call.function.name, 'weather');
    const runner = openai.chat.completions.stream(request, mock({ tool: true }));
    const final = await runner.finalChatCompletion();
    const [streamed] = final.choices[0]?.message.tool_calls ?? [];
    assert.deepEqual(JSON.parse(streamed?.type === 'function' ? streamed.function.arguments : ''), {
      location: 'Reykjavik',
    });
    assert.equal(final.choices[0]?.finish_reason, 'tool_calls');
  });

  for (const [status, type] of [
    [400, OpenAI.BadRequestError],
    [404, OpenAI.NotFoundError],
    [429, OpenAI.RateLimitError],
    [500, OpenAI.InternalServerError],
  ] as const) {
    it(`the provider's ${status} arrives as ${type.name}, and costs nothing`, async () => {
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

  it('an unknown model is a NotFoundError of the gateway', async () => {
    const error = await errorOf(
      openai.chat.completions.create({ model: 'nobody-serves-this', messages: say('Hello') }),
    );
    assert.ok(error instanceof OpenAI.NotFoundError, String(error));
    assert.equal(error.code, 'model_not_found');
    assert.equal(world.provider.seen.length, 0);
  });

  it('abort in the middle closes the upstream, and what came is charged', async () => {
    const { result: received, record } = await world.gateway.recordOf(async () => {
      const stream = await openai.chat.completions.create(
        { model: MODEL, messages: say('Hello'), stream: true },
        mock({ tokens: 2_000, paceMs: 5 }),
      );
      let count = 0;
      for await (const chunk of stream) {
        if (chunk.choices[0]?.delta.content) count += 1;
        if (count === 20) break;
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

  it('a prompt of 10 MB', async () => {
    const content = 'word '.repeat(2 << 20);
    const answer = await openai.chat.completions.create({ model: MODEL, messages: say(content) }, mock({ tokens: 3 }));
    assert.equal(answer.usage?.completion_tokens, 3);
    assert.ok(lastSeen().bodyBytes > content.length);
  });

  it('responses, plain and streamed', async () => {
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

  it('completions, plain and streamed', async () => {
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
    for await (const chunk of stream) text += chunk.choices[0]?.text ?? '';
    assert.equal(text, wordsOf(9));
  });

  it('embeddings', async () => {
    const { result, record } = await world.gateway.recordOf(() =>
      openai.embeddings.create({ model: 'text-embedding-3-small', input: ['one two', 'three'] }),
    );
    assert.deepEqual(Array.from(result.data[0]?.embedding ?? []), [0.5, -0.25, 0.125]);
    assert.equal(record.inputTokens, result.usage.prompt_tokens);
    assert.equal(record.outputTokens ?? 0, 0);
  });

  it('models', async () => {
    const models = (await openai.models.list()).data.map((model) => model.id);
    assert.ok(models.includes(MODEL) && models.includes('cheap'), String(models));
    assert.equal(world.provider.seen.length, 0);
  });

  it('an alias: the backend gets its own name of the model', async () => {
    const { record } = await world.gateway.recordOf(() =>
      openai.chat.completions.create({ model: 'cheap', messages: say('Hello') }, mock({ tokens: 3 })),
    );
    assert.equal(JSON.parse(lastSeen().body).model, MODEL);
    assert.equal(record.model, 'cheap');
  });

  it('1,000 requests on one connection', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const ports = new Set<number | undefined>();
    for (let index = 0; index < 1_000; index += 1) {
      const opened = await open(
        `${world.gateway.url}/v1/chat/completions`,
        { model: MODEL, messages: say('Hello'), stream: index % 2 === 1 },
        { agent, mock: { tokens: 2 } },
      );
      ports.add(opened.response.socket?.localPort);
      const { status, complete, text } = await opened.done;
      assert.ok(status === 200 && complete, `request ${index}: ${status} ${text}`);
    }
    agent.destroy();
    assert.equal(ports.size, 1);
  });
});

describe('anthropic client', () => {
  it('messages, plain', async () => {
    const { result, record } = await world.gateway.recordOf(() =>
      anthropic.messages.create({ model: CLAUDE, max_tokens: 100, messages: say('Hello') }, mock({ tokens: 12 })),
    );
    assert.equal(result.content[0]?.type === 'text' && result.content[0].text, wordsOf(12));
    assert.equal(record.outputTokens, 12);
    assert.equal(record.inputTokens, result.usage.input_tokens);
    assert.equal(record.source, 'provider');
  });

  it('messages, streamed', async () => {
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

  it('tools, plain and streamed', async () => {
    const request = {
      model: CLAUDE,
      max_tokens: 100,
      messages: say('The weather in Reykjavik?'),
      tools: [{ name: 'weather', input_schema: { type: 'object' as const } }],
    };
    const plain = await anthropic.messages.create(request, mock({ tool: true }));
    assert.equal(plain.content[0]?.type, 'tool_use');
    const streamed = await anthropic.messages.stream(request, mock({ tool: true })).finalMessage();
    assert.deepEqual(streamed.content[0]?.type === 'tool_use' && streamed.content[0].input, { location: 'Reykjavik' });
  });

  for (const [status, type] of [
    [400, Anthropic.BadRequestError],
    [404, Anthropic.NotFoundError],
    [429, Anthropic.RateLimitError],
    [500, Anthropic.InternalServerError],
  ] as const) {
    it(`the provider's ${status} arrives as ${type.name}`, async () => {
      const error = await errorOf(
        anthropic.messages.create({ model: CLAUDE, max_tokens: 9, messages: say('Hello') }, mock({ status })),
      );
      assert.ok(error instanceof type, String(error));
      assert.equal(error.requestID !== undefined, true);
    });
  }

  it('an unknown model is a NotFoundError in the shape of the API', async () => {
    const error = await errorOf(anthropic.messages.create({ model: 'nobody', max_tokens: 9, messages: say('Hello') }));
    assert.ok(error instanceof Anthropic.NotFoundError, String(error));
    assert.equal((error.error as { error?: { type?: string } }).error?.type, 'not_found_error');
  });

  it('abort in the middle closes the upstream, and what came is charged', async () => {
    const { result: received, record } = await world.gateway.recordOf(async () => {
      const stream = anthropic.messages.stream(
        { model: CLAUDE, max_tokens: 5_000, messages: say('Hello') },
        mock({ tokens: 2_000, paceMs: 5 }),
      );
      let count = 0;
      for await (const event of stream) {
        if (event.type === 'content_block_delta') count += 1;
        if (count === 20) break;
      }
      return count;
    });
    await waitFor('closed upstream', () => lastSeen().abortedAtMs !== undefined, 2_000);
    assert.ok((record.outputTokens ?? 0) >= received, `${record.outputTokens} charged, ${received} received`);
    assert.equal(record.inputTokens, lastSeen().inputTokens, 'input was told by message_start');
  });

  it('count_tokens is free', async () => {
    const { result, record } = await world.gateway.recordOf(() =>
      anthropic.messages.countTokens({ model: CLAUDE, messages: say('Hello there') }),
    );
    assert.ok(result.input_tokens > 0);
    assert.equal(record.inputTokens ?? 0, 0);
    assert.equal(lastSeen().path, '/v1/messages/count_tokens');
  });

  it('a prompt of 10 MB', async () => {
    const content = 'word '.repeat(2 << 20);
    const answer = await anthropic.messages.create(
      { model: CLAUDE, max_tokens: 9, messages: say(content) },
      mock({ tokens: 3 }),
    );
    assert.equal(answer.usage.output_tokens, 3);
  });

  it('models', async () => {
    const names = (await anthropic.models.list()).data.map((model) => model.id);
    assert.ok(names.includes(MODEL) || names.length > 0, String(names));
  });
});

describe('Hugging Face TGI', () => {
  const request = { inputs: 'Once upon a time', parameters: { max_new_tokens: 40, details: true } };

  it('/generate', async () => {
    const { result, record } = await world.gateway.recordOf(() =>
      call(`${world.gateway.url}/generate`, request, { headers: TGI_HEADERS, mock: { tokens: 12 } }),
    );
    assert.equal(result.status, 200, result.text);
    assert.equal(result.json.generated_text, wordsOf(12));
    assert.equal(record.outputTokens, 12);
    assert.equal(record.source, 'provider');
  });

  it('/generate_stream', async () => {
    const { result, record } = await world.gateway.recordOf(() =>
      call(`${world.gateway.url}/generate_stream`, request, { headers: TGI_HEADERS, mock: { tokens: 12, paceMs: 1 } }),
    );
    assert.equal(result.text, lastSeen().answer);
    const events = documentsOf(result.text) as { token: { text: string } }[];
    assert.equal(events.map((event) => event.token.text).join(''), wordsOf(12));
    assert.equal(record.outputTokens, 12);
  });

  it('/', async () => {
    const { status, json } = await call(`${world.gateway.url}/`, request, {
      headers: TGI_HEADERS,
      mock: { tokens: 5 },
    });
    assert.equal(status, 200);
    assert.equal(json.generated_text, wordsOf(5));
  });

  it('its OpenAI-compatible chat', async () => {
    const client = openaiClient(world.gateway.url, TGI_HEADERS);
    const answer = await client.chat.completions.create({ model: 'tgi', messages: say('Hello') }, mock({ tokens: 5 }));
    assert.equal(answer.choices[0]?.message.content, wordsOf(5));
  });

  it('an error of the gateway has the shape of TGI', async () => {
    const { status, json } = await call(`${world.gateway.url}/generate`, '{"inputs":', { headers: TGI_HEADERS });
    assert.equal(status, 400);
    assert.equal(typeof json.error, 'string');
  });
});

describe('what passes and what does not', () => {
  for (const [method, path] of [
    ['GET', '/v1/chat/completions'],
    ['DELETE', '/v1/chat/completions'],
    ['POST', '/v1/images/generations'],
    ['POST', '/v1/chat/completions/'],
    ['POST', '/v1//chat/completions'],
    ['POST', '/V1/chat/completions'],
    ['GET', '/v1/threads'],
    ['PUT', '/v1/files/abc'],
  ] as const) {
    it(`${method} ${path}: 404`, async () => {
      const body = method === 'GET' ? undefined : { model: MODEL, messages: say('Hello') };
      const { status, json } = await call(`${world.gateway.url}${path}`, body, { method });
      assert.equal(status, 404);
      assert.equal(json.error.code, 'unknown_endpoint');
      assert.equal(world.provider.seen.length, 0);
    });
  }

  it('an upgrade is not passed on', async () => {
    const raw = await rawCall(world.gateway.port);
    await raw.write(
      head('/v1/chat/completions', ['connection: upgrade', 'upgrade: websocket', 'content-length: 0']).replace(
        'POST',
        'GET',
      ),
    );
    await waitFor('refusal', () => (raw.status() ?? 0) >= 400, 3_000, raw.text);
    raw.socket.destroy();
    assert.equal(world.provider.seen.length, 0);
  });

  it('a listed endpoint passes, with the provider’s key', async () => {
    const { status, json } = await call(`${world.gateway.url}/v1/files/abc?limit=1`);
    assert.equal(status, 200);
    assert.equal(json.path, '/v1/files/abc?limit=1');
    assert.equal(lastSeen().headers['authorization'], `Bearer ${PROVIDER_KEY}`);
  });

  it('a query does not change the endpoint', async () => {
    const { status } = await call(
      `${world.gateway.url}/v1/chat/completions?api-version=1`,
      { model: MODEL, messages: say('Hello') },
      { mock: { tokens: 2 } },
    );
    assert.equal(status, 200);
    assert.equal(lastSeen().path, '/v1/chat/completions?api-version=1');
  });
});

describe('headers', () => {
  const credentials = {
    authorization: `Bearer ${CLIENT_KEY}`,
    'x-api-key': CLIENT_KEY,
    'api-key': CLIENT_KEY,
    cookie: 'session=secret',
  };

  it('the provider gets its own key and none of the client’s credentials', async () => {
    for (const [path, body] of [
      ['/v1/chat/completions', { model: MODEL, messages: say('Hello') }],
      ['/v1/messages', { model: CLAUDE, max_tokens: 9, messages: say('Hello') }],
    ] as const) {
      const { status, text } = await call(`${world.gateway.url}${path}`, body, {
        headers: credentials,
        mock: { tokens: 2 },
      });
      assert.equal(status, 200, text);
      const { headers } = lastSeen();
      assert.ok(!JSON.stringify(headers).includes(CLIENT_KEY), JSON.stringify(headers));
      assert.equal(headers['cookie'], undefined);
      const own = path === '/v1/messages' ? headers['x-api-key'] : headers['authorization'];
      assert.equal(own, path === '/v1/messages' ? PROVIDER_KEY : `Bearer ${PROVIDER_KEY}`);
    }
  });

  it('forged headers of ours are not believed and not passed on', async () => {
    const forged = {
      'x-tallygate-route': 'default/chat/claude/anthropic',
      'x-tallygate-anything': 'forged',
      'X-Tallygate-Team': 'forged',
    };
    const { status } = await call(
      `${world.gateway.url}/v1/chat/completions`,
      { model: MODEL, messages: say('Hello') },
      { headers: forged, mock: { tokens: 2 } },
    );
    assert.equal(status, 200);
    assert.equal(lastSeen().headers['authorization'], `Bearer ${PROVIDER_KEY}`);
    assert.deepEqual(
      Object.keys(lastSeen().headers).filter((name) => name.startsWith('x-tallygate-')),
      [],
    );
    const other = await call(`${world.gateway.url}/v1/files/abc`, undefined, { headers: forged });
    assert.equal(other.status, 200);
    assert.deepEqual(
      Object.keys(lastSeen().headers).filter((name) => name.startsWith('x-tallygate-')),
      [],
    );
  });

  it('a forged route header does not open an endpoint that is closed', async () => {
    const { status } = await call(
      `${world.gateway.url}/v1/images/generations`,
      { model: MODEL },
      {
        headers: { 'x-tallygate-route': 'default/chat/openai/openai' },
      },
    );
    assert.equal(status, 404);
  });

  it('successful answers tell what is left, in the names of the API', async () => {
    const { headers } = await call(
      `${world.gateway.url}/v1/chat/completions`,
      { model: MODEL, messages: say('Hello') },
      { mock: { tokens: 2 }, headers: { 'x-team': 'headers' } },
    );
    assert.equal(headers['x-ratelimit-limit-tokens'], '100000000');
    assert.ok(Number(headers['x-ratelimit-remaining-tokens']) > 99_000_000);
    assert.match(String(headers['x-ratelimit-reset-tokens']), /^(\d+h)?(\d+m)?(\d+(\.\d+)?s)?(\d+ms)?$/);
    assert.equal(headers['x-ratelimit-limit-requests'], '1000000');
    assert.equal(headers['x-ratelimit-remaining-requests'], '999999');
    const other = await call(
      `${world.gateway.url}/v1/messages`,
      { model: CLAUDE, max_tokens: 9, messages: say('Hello') },
      { mock: { tokens: 2 }, headers: { 'x-team': 'headers' } },
    );
    assert.equal(other.headers['anthropic-ratelimit-tokens-limit'], '100000000');
    assert.equal(other.headers['anthropic-ratelimit-requests-remaining'], '999998');
    assert.ok(!Number.isNaN(Date.parse(String(other.headers['anthropic-ratelimit-tokens-reset']))));
  });
});

describe('bytes', () => {
  it('a stream whose usage the client asked for arrives unchanged', async () => {
    const body = { model: MODEL, messages: say('Hello'), stream: true, stream_options: { include_usage: true } };
    const { text } = await call(`${world.gateway.url}/v1/chat/completions`, body, {
      mock: { tokens: 500, tokensAChunk: 3 },
    });
    assert.equal(text, lastSeen().answer);
    assert.equal(eventsOf(text).at(-1)?.data, '[DONE]');
  });

  for (const encoding of ['gzip', 'br', 'zstd'] as const) {
    it(`${encoding}: what arrives decodes to what was sent, and is counted`, async () => {
      const { result, record } = await world.gateway.recordOf(async () => {
        const response = await fetch(`${world.gateway.url}/v1/chat/completions`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'x-mock': JSON.stringify({ tokens: 40, encoding }) },
          body: JSON.stringify({ model: MODEL, messages: say('Hello') }),
        });
        return response.json() as Promise<OpenAI.ChatCompletion>;
      });
      assert.equal(result.choices[0]?.message.content, wordsOf(40));
      assert.equal(record.outputTokens, 40);
      assert.equal(record.source, 'provider');
    });
  }
});
