/** The official OpenAI and Anthropic clients, unmodified, in front of Gemini. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { ApiError, GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';
import { anthropicClient, errorOf, googleClient, mock, openaiClient, say } from './support/clients.ts';
import { THOUGHT_SIGNATURE } from './support/dialects/gemini.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { backend, PROVIDER_KEY, quotaPolicy, route, teamQuota } from './support/resources.ts';
import { wordsOf } from './support/words.ts';

const MODEL = 'gemini-3-flash';
const LOCATION = '/v1/projects/p/locations/eu';
const CLAUDE_ON_VERTEX = 'claude-sonnet-4-5@20250929';

let provider: Provider;
let gateway: Gateway;
let openai: OpenAI;
let anthropic: Anthropic;
let google: GoogleGenAI;

before(async () => {
  provider = await startProvider();
  gateway = await startGateway([
    backend('gemini', { schema: 'GoogleGemini', port: provider.port }),
    route('gemini', [{ name: 'gemini', models: ['gemini-*'], backendRefs: [{ name: 'gemini' }] }]),
    backend('claude', { schema: 'Anthropic', port: provider.port }),
    backend('vertex', { schema: 'GCPVertexAI', port: provider.port, more: { pathPrefix: LOCATION } }),
    route('vertex', [
      { name: 'claude', models: ['vertex-claude'], backendRefs: [{ name: 'vertex', model: CLAUDE_ON_VERTEX }] },
      {
        name: 'embedding',
        models: ['vertex-embedding'],
        backendRefs: [{ name: 'vertex', model: 'gemini-embedding-2' }],
      },
      { name: 'gemini', models: ['vertex-gemini'], backendRefs: [{ name: 'vertex', model: 'gemini-2.5-flash' }] },
    ]),
    route('vertex-metered', [
      { name: 'claude', models: ['vertex-cut'], backendRefs: [{ name: 'vertex', model: CLAUDE_ON_VERTEX }] },
    ]),
    quotaPolicy('vertex', 'vertex-metered', [teamQuota('few', 'OutputTokens', 40)]),
    backend('openai', { port: provider.port }),
    route('others', [
      { name: 'claude', models: ['claude-*'], backendRefs: [{ name: 'claude' }] },
      { name: 'gpt', models: ['gpt-*'], backendRefs: [{ name: 'openai' }] },
    ]),
    // A name of no real model, whose output may be hidden.
    route('metered', [{ name: 'metered', models: ['metered'], backendRefs: [{ name: 'gemini', model: 'mock' }] }]),
    quotaPolicy('few', 'metered', [teamQuota('few', 'OutputTokens', 40)]),
  ]);
  openai = openaiClient(gateway.url);
  anthropic = anthropicClient(gateway.url);
  google = googleClient(gateway.url);
});
after(async () => {
  await provider?.stop();
  await gateway?.stop();
});
beforeEach(() => provider.forget());

function lastSeen() {
  const seen = provider.seen.at(-1);
  assert.ok(seen, 'the provider saw no request');
  return seen;
}

const schema = { type: 'object' as const, properties: { location: { type: 'string' } }, required: ['location'] };

describe('the mock of Gemini', () => {
  it("is read by Google's own client", async () => {
    const baseUrl = `http://127.0.0.1:${provider.port}`;
    const httpOptions = { baseUrl, apiVersion: 'v1beta', ...mock({ tokens: 5, hiddenTokens: 3 }) };
    const { models } = new GoogleGenAI({ apiKey: 'k', httpOptions });
    const request = { model: MODEL, contents: 'Hello' };
    const whole = await models.generateContent(request);
    assert.equal(whole.text, wordsOf(5));
    const chunks = [];
    for await (const chunk of await models.generateContentStream(request)) {
      chunks.push(chunk);
    }
    assert.equal(chunks.map(({ text }) => text ?? '').join(''), wordsOf(5));
    assert.deepEqual(chunks.at(-1)?.usageMetadata, whole.usageMetadata);
    assert.equal(whole.usageMetadata?.thoughtsTokenCount, 3);
  });
});

describe("Google's client before Gemini", () => {
  const base = { model: MODEL, contents: 'Hello' };
  const asking = (behaviour: Parameters<typeof mock>[0], more = {}) => ({ httpOptions: mock(behaviour, more) });

  it('receives a unary response unchanged, counted by the usage of the provider', async () => {
    const { result, record } = await gateway.recordOf(() =>
      google.models.generateContent({ ...base, config: asking({ tokens: 12, hiddenTokens: 7 }) }),
    );
    assert.equal(result.text, wordsOf(12));
    assert.deepEqual([result.usageMetadata?.candidatesTokenCount, result.usageMetadata?.thoughtsTokenCount], [12, 7]);
    assert.deepEqual([record.outputTokens, record.source], [19, 'provider']);
    assert.doesNotMatch(record.line, /convertedTo/);
    const { path, headers } = lastSeen();
    assert.equal(path, `/v1beta/models/${MODEL}:generateContent`);
    assert.equal(headers['x-goog-api-key'], PROVIDER_KEY);
  });

  it('receives a stream unchanged', async () => {
    const chunks = [];
    for await (const chunk of await google.models.generateContentStream({
      ...base,
      config: asking({ tokens: 30, paceMs: 1 }),
    })) {
      chunks.push(chunk);
    }
    assert.equal(chunks.map(({ text }) => text ?? '').join(''), wordsOf(30));
    assert.equal(chunks.at(-1)?.usageMetadata?.candidatesTokenCount, 30);
  });

  it('receives a stream that ends at the end of a budget', async () => {
    const { result, record } = await gateway.recordOf(async () => {
      const chunks = [];
      const config = asking({ tokens: 2_000, paceMs: 1 }, { 'x-team': 'green' });
      for await (const chunk of await google.models.generateContentStream({ ...base, model: 'metered', config })) {
        chunks.push(chunk);
      }
      return chunks;
    });
    assert.equal(result.at(-1)?.candidates?.[0]?.finishReason, 'MAX_TOKENS');
    assert.equal(record.status, 200);
    assert.ok(lastSeen().outputTokens < 2_000);
    assert.match(lastSeen().path, /^\/v1beta\/models\/mock:streamGenerateContent\?alt=sse$/);
    const error = await errorOf(
      google.models.generateContent({ ...base, model: 'metered', config: asking({}, { 'x-team': 'green' }) }),
    );
    assert.ok(error instanceof ApiError);
    assert.equal(error.status, 429);
    assert.match(error.message, /"status":"RESOURCE_EXHAUSTED"/);
    assert.match(error.message, /"reason":"QUOTA_EXCEEDED"/);
  });

  it("receives the provider's errors, and those of Envoy in the same shape", async () => {
    const refused = await errorOf(google.models.generateContent({ ...base, config: asking({ status: 503 }) }));
    assert.ok(refused instanceof ApiError);
    assert.match(refused.message, /mock provider error 503/);
    const broken = asking({ tokens: 5, fail: { when: 'before', how: 'close' } });
    const cut = await errorOf(google.models.generateContent({ ...base, config: broken }));
    assert.ok(cut instanceof ApiError, String(cut));
    assert.match(cut.message, /"code":503,.*"status":"UNAVAILABLE"/);
  });

  it('sends no provider the query, whose key is its credential', async () => {
    const query = 'key=secret-of-the-client&alt=json';
    const { result, record } = await gateway.recordOf(() =>
      fetch(`${gateway.url}/v1/models/${MODEL}:generateContent?${query}`, {
        method: 'POST',
        body: JSON.stringify({ contents: [{ parts: [{ text: 'Hello' }] }] }),
      }),
    );
    assert.equal(result.status, 200);
    assert.equal(lastSeen().path, `/v1beta/models/${MODEL}:generateContent`);
    assert.doesNotMatch(record.line, /secret-of/);
  });

  it('counts the tokens of a prompt free of charge', async () => {
    const { record } = await gateway.recordOf(() => google.models.countTokens(base));
    assert.deepEqual([record.status, record.outputTokens], [200, undefined]);
    assert.equal(lastSeen().path, `/v1beta/models/${MODEL}:countTokens`);
  });
});

describe("embeddings for Google's client", () => {
  const contents = ['Hello there'];
  const values = [0.5, -0.25, 0.125];

  it('pass unchanged before Gemini, counted by the usage of the provider', async () => {
    const { result, record } = await gateway.recordOf(() =>
      google.models.embedContent({ model: MODEL, contents, config: { taskType: 'CLUSTERING' } }),
    );
    assert.deepEqual(result.embeddings, [{ values }]);
    assert.deepEqual([record.inputTokens, record.source], [lastSeen().inputTokens, 'provider']);
    assert.doesNotMatch(record.line, /convertedTo/);
    assert.equal(lastSeen().path, `/v1beta/models/${MODEL}:batchEmbedContents`);
    const model = `models/${MODEL}`;
    const content = { parts: [{ text: contents[0] }], role: 'user' };
    assert.deepEqual(JSON.parse(lastSeen().body), { requests: [{ content, taskType: 'CLUSTERING', model }] });
  });

  it('reach Gemini by the name that the backend uses', async () => {
    await google.models.embedContent({
      model: 'metered',
      contents,
      config: { httpOptions: mock({}, { 'x-team': 'blue' }) },
    });
    assert.equal(lastSeen().path, '/v1beta/models/mock:batchEmbedContents');
    assert.equal(JSON.parse(lastSeen().body).requests[0].model, 'models/mock');
  });

  it('come from other providers by conversion', async () => {
    const { result, record } = await gateway.recordOf(() =>
      google.models.embedContent({ model: 'gpt-embedding', contents, config: { outputDimensionality: 3 } }),
    );
    assert.deepEqual(result.embeddings, [{ values }]);
    assert.deepEqual([record.inputTokens, record.source], [lastSeen().inputTokens, 'provider']);
    assert.match(record.line, /"convertedTo":"OpenAI"/);
    assert.equal(lastSeen().path, '/v1/embeddings');
    assert.equal(JSON.parse(lastSeen().body).dimensions, 3);
  });

  it('have errors in the shape of the API', async () => {
    const config = { httpOptions: mock({ status: 429 }) };
    for (const model of [MODEL, 'gpt-embedding']) {
      const error = await errorOf(google.models.embedContent({ model, contents, config }));
      assert.ok(error instanceof ApiError, String(error));
      assert.equal(error.status, 429);
      assert.match(error.message, /mock provider error 429/);
    }
    const refused = await errorOf(google.models.embedContent({ model: 'gpt-embedding', contents: [] }));
    assert.match(String(refused), /"status":"INVALID_ARGUMENT"/);
  });

  it('come from Vertex AI by its own method', async () => {
    const response = await fetch(`${gateway.url}/v1beta1/publishers/google/models/vertex-embedding:embedContent`, {
      method: 'POST',
      body: JSON.stringify({ content: { parts: [{ text: 'Hello' }] } }),
    });
    const { embedding } = (await response.json()) as { readonly embedding: object };
    assert.deepEqual(embedding, { values });
    assert.equal(lastSeen().path, `${LOCATION}/publishers/google/models/gemini-embedding-2:embedContent`);
  });
});

describe("Google's client before other providers", () => {
  const tools = [{ functionDeclarations: [{ name: 'weather', parametersJsonSchema: schema }] }];

  for (const [model, path] of [
    ['claude-sonnet-4-5', '/v1/messages'],
    ['gpt-4o', '/v1/chat/completions'],
  ] as const) {
    it(`receives unary responses and streams (${model})`, async () => {
      const request = { model, contents: 'Hello', config: { httpOptions: mock({ tokens: 20, paceMs: 1 }) } };
      const whole = await google.models.generateContent(request);
      const chunks = [];
      for await (const chunk of await google.models.generateContentStream(request)) {
        chunks.push(chunk);
      }
      const text = chunks.map((chunk) => chunk.text ?? '').join('');
      assert.deepEqual([whole.text, text], [wordsOf(20), wordsOf(20)]);
      assert.equal(whole.usageMetadata?.candidatesTokenCount, 20);
      assert.deepEqual(chunks.at(-1)?.usageMetadata, whole.usageMetadata);
      assert.equal(chunks.at(-1)?.candidates?.[0]?.finishReason, 'STOP');
      assert.equal(lastSeen().path, path);
    });

    it(`calls functions in a chat, and gives their results back (${model})`, async () => {
      const config = { tools, httpOptions: mock({ tool: true, tokens: 5 }) };
      const chat = google.chats.create({ model, config });
      const { functionCalls } = await chat.sendMessage({ message: 'Hello' });
      assert.deepEqual(functionCalls?.[0]?.args, { location: wordsOf(5) });
      const { id = '', name = '' } = functionCalls![0]!;
      await chat.sendMessage({ message: { functionResponse: { id, name, response: { output: 'Sunny' } } } });
      assert.match(lastSeen().body, new RegExp(`"(tool_use_id|tool_call_id)":"${id}"`));
    });

    it(`receives errors in the shape of its API (${model})`, async () => {
      const config = { httpOptions: mock({ status: 429 }) };
      const error = await errorOf(google.models.generateContent({ model, contents: 'Hello', config }));
      assert.ok(error instanceof ApiError);
      assert.equal(error.status, 429);
      assert.match(error.message, /"status":"RESOURCE_EXHAUSTED"/);
    });
  }
});

describe('the OpenAI client before Gemini', () => {
  const tools = [{ type: 'function' as const, function: { name: 'weather', parameters: schema } }];
  const base = { model: MODEL, messages: say('Hello') };

  it('receives a unary response, counted by the usage of the provider', async () => {
    const { result, record } = await gateway.recordOf(() =>
      openai.chat.completions.create(base, mock({ tokens: 12, hiddenTokens: 7 })),
    );
    assert.equal(result.choices[0]?.message.content, wordsOf(12));
    assert.equal(result.choices[0]?.finish_reason, 'stop');
    assert.equal(result.usage?.completion_tokens, 19);
    assert.equal(result.usage?.completion_tokens_details?.reasoning_tokens, 7);
    assert.equal(result.usage?.prompt_tokens, lastSeen().inputTokens);
    assert.deepEqual([record.outputTokens, record.source], [19, 'provider']);
    assert.match(record.line, /"convertedTo":"GoogleGemini"/);
    const { path, headers } = lastSeen();
    assert.equal(path, `/v1beta/models/${MODEL}:generateContent`);
    assert.equal(headers['x-goog-api-key'], PROVIDER_KEY);
    assert.equal(headers['authorization'], undefined);
  });

  it('receives a stream with its usage', async () => {
    const stream = await openai.chat.completions.create(
      { ...base, stream: true, stream_options: { include_usage: true } },
      mock({ tokens: 30, paceMs: 1 }),
    );
    const chunks = [];
    for await (const chunk of stream) {
      chunks.push(chunk);
    }
    assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join(''), wordsOf(30));
    assert.equal(chunks.at(-1)?.usage?.completion_tokens, 30);
    assert.equal(lastSeen().path, `/v1beta/models/${MODEL}:streamGenerateContent?alt=sse`);
  });

  it('receives tool calls, and gives their signatures back', async () => {
    const request = { ...base, tools };
    const plain = await openai.chat.completions.create(request, mock({ tool: true, tokens: 5 }));
    const final = await openai.chat.completions.stream(request, mock({ tool: true, tokens: 5 })).finalChatCompletion();
    for (const { choices } of [plain, final]) {
      const message = choices[0]!.message;
      const [call] = message.tool_calls ?? [];
      const called = call?.type === 'function' ? call.function : undefined;
      assert.deepEqual(JSON.parse(called?.arguments ?? ''), { location: wordsOf(5) });
      const result = { role: 'tool' as const, tool_call_id: call!.id, content: 'Sunny' };
      await openai.chat.completions.create({ ...request, messages: [...base.messages, message, result] });
      assertSignedTurn();
    }
  });

  for (const [status, type] of [
    [400, OpenAI.BadRequestError],
    [429, OpenAI.RateLimitError],
    [503, OpenAI.InternalServerError],
  ] as const) {
    it(`receives the provider's ${status} as ${type.name}`, async () => {
      const error = await errorOf(openai.chat.completions.create(base, mock({ status })));
      assert.ok(error instanceof type, String(error));
      assert.equal(error.status, status);
      assert.match(error.message, new RegExp(`mock provider error ${status}`));
      assert.equal(error.headers?.get('retry-after'), status === 429 ? '7' : null);
    });
  }

  it('receives a stream that ends at the end of a budget', async () => {
    const stream = await openai.chat.completions.create(
      { model: 'metered', messages: say('Hello'), stream: true },
      mock({ tokens: 2_000, paceMs: 1 }, { 'x-team': 'red' }),
    );
    const chunks = [];
    for await (const chunk of stream) {
      chunks.push(chunk);
    }
    assert.equal(chunks.at(-1)?.choices[0]?.finish_reason, 'length');
    assert.ok(lastSeen().outputTokens < 2_000);
  });

  it('receives an error where the provider breaks its stream off', async () => {
    const broken = mock({ tokens: 50, fail: { when: 'in', how: 'close', chunks: 5 } });
    const error = await errorOf(openai.chat.completions.stream(base, broken).finalContent());
    assert.ok(error instanceof Error);
  });
});

/** The provider got the call with its signature, and the result of the call. */
function assertSignedTurn(): void {
  const { contents } = JSON.parse(lastSeen().body);
  const args = { location: wordsOf(5) };
  assert.deepEqual(contents.slice(1), [
    {
      role: 'model',
      parts: [{ functionCall: { id: 'f1', name: 'weather', args }, thoughtSignature: THOUGHT_SIGNATURE }],
    },
    {
      role: 'user',
      parts: [{ functionResponse: { id: 'f1', name: 'weather', response: { output: 'Sunny' } } }],
    },
  ]);
}

describe('the Anthropic client before Gemini', () => {
  const base = { model: MODEL, max_tokens: 500, messages: say('Hello') };

  it('receives a unary response, counted by the usage of the provider', async () => {
    const { result, record } = await gateway.recordOf(() =>
      anthropic.messages.create(base, mock({ tokens: 12, hiddenTokens: 7 })),
    );
    const text = result.content.find((block) => block.type === 'text');
    assert.equal(text?.text, wordsOf(12));
    assert.equal(result.stop_reason, 'end_turn');
    assert.equal(result.usage.output_tokens, 19);
    assert.deepEqual([record.outputTokens, record.source], [19, 'provider']);
    assert.equal(JSON.parse(lastSeen().body).generationConfig.maxOutputTokens, 500);
  });

  it('receives a stream with its usage', async () => {
    const final = await anthropic.messages.stream(base, mock({ tokens: 30, paceMs: 1 })).finalMessage();
    assert.deepEqual(
      final.content.map((block) => block.type === 'text' && block.text),
      [wordsOf(30)],
    );
    assert.equal(final.usage.output_tokens, 30);
    assert.equal(final.usage.input_tokens, lastSeen().inputTokens);
  });

  it('receives tool calls, and gives their signatures back', async () => {
    const request = { ...base, tools: [{ name: 'weather', input_schema: schema }] };
    const plain = await anthropic.messages.create(request, mock({ tool: true, tokens: 5 }));
    const final = await anthropic.messages.stream(request, mock({ tool: true, tokens: 5 })).finalMessage();
    for (const { content, stop_reason: reason } of [plain, final]) {
      const call = content.find((block) => block.type === 'tool_use');
      assert.deepEqual([call?.input, reason], [{ location: wordsOf(5) }, 'tool_use']);
      const result = { type: 'tool_result' as const, tool_use_id: call!.id, content: 'Sunny' };
      const turns = [
        { role: 'assistant' as const, content },
        { role: 'user' as const, content: [result] },
      ];
      await anthropic.messages.create({ ...request, messages: [...base.messages, ...turns] });
      assertSignedTurn();
    }
  });

  it("receives the provider's 503 as an overload", async () => {
    const error = await errorOf(anthropic.messages.create(base, mock({ status: 503 })));
    assert.ok(error instanceof Anthropic.InternalServerError, String(error));
    assert.equal(error.status, 529);
  });
});

describe('Vertex AI', () => {
  const base = { model: 'vertex-claude', max_tokens: 500, messages: say('Hello') };
  const claudePath = `${LOCATION}/publishers/anthropic/models/${CLAUDE_ON_VERTEX}`;

  it("passes requests of Anthropic's client on to Claude, with betas and server tools", async () => {
    const { result, record } = await gateway.recordOf(() =>
      anthropic.beta.messages.create(
        { ...base, betas: ['context-1m-2025-08-07'], tools: [{ type: 'web_search_20250305', name: 'web_search' }] },
        mock({ tokens: 5, tool: false }),
      ),
    );
    assert.equal(result.type, 'message');
    assert.deepEqual([record.outputTokens, record.source], [5, 'provider']);
    assert.doesNotMatch(record.line, /convertedTo/);
    const { path, headers, body } = lastSeen();
    assert.equal(path, `${claudePath}:rawPredict`);
    assert.equal(headers['authorization'], `Bearer ${PROVIDER_KEY}`);
    assert.equal(headers['anthropic-beta'], 'context-1m-2025-08-07');
    const { max_tokens, messages } = base;
    const tools = [{ type: 'web_search_20250305', name: 'web_search' }];
    assert.deepEqual(JSON.parse(body), { anthropic_version: 'vertex-2023-10-16', max_tokens, messages, tools });
  });

  it("streams Claude to Anthropic's client, and ends the stream at the end of a budget", async () => {
    const behaviour = mock({ tokens: 2_000, paceMs: 1 }, { 'x-team': 'red' });
    const final = await anthropic.messages
      .stream({ ...base, model: 'vertex-cut', max_tokens: 5_000 }, behaviour)
      .finalMessage();
    assert.equal(final.stop_reason, 'max_tokens');
    assert.ok(lastSeen().outputTokens < 2_000);
    assert.equal(lastSeen().path, `${claudePath}:streamRawPredict`);
  });

  it('counts the tokens of a prompt for Claude, or the gateway does', async () => {
    const { input_tokens: counted } = await anthropic.messages.countTokens({ model: base.model, messages: say('Hi') });
    assert.ok(counted > 0);
    assert.equal(lastSeen().path, `${LOCATION}/publishers/anthropic/models/count-tokens:rawPredict`);
    assert.equal(JSON.parse(lastSeen().body).model, CLAUDE_ON_VERTEX);
    provider.forget();
    const { totalTokens } = await google.models.countTokens({ model: base.model, contents: 'Hello' });
    assert.ok((totalTokens ?? 0) > 0);
    assert.equal(provider.seen.length, 0);
  });

  it("serves clients of other APIs, and Google's client in express mode", async () => {
    const asked = { model: base.model, messages: say('Hello') };
    const chat = await openai.chat.completions.create(asked, mock({ tokens: 6 }));
    assert.equal(chat.choices[0]?.message.content, wordsOf(6));
    assert.equal(lastSeen().path, `${claudePath}:rawPredict`);
    const express = new GoogleGenAI({ vertexai: true, apiKey: 'k', httpOptions: { baseUrl: gateway.url } });
    const config = { httpOptions: mock({ tokens: 7 }) };
    const { text } = await express.models.generateContent({ model: 'vertex-gemini', contents: 'Hello', config });
    assert.equal(text, wordsOf(7));
    assert.equal(lastSeen().path, `${LOCATION}/publishers/google/models/gemini-2.5-flash:generateContent`);
  });
});
