/**
 * Failover: a request reaches the next backend when the first one fails before the client got a
 * byte, and the official clients, with their own retries, also when it fails later.
 */
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, beforeEach, describe, it } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { freePorts } from '../../fixtures/free-ports.ts';
import type { Behaviour } from './support/behaviour.ts';
import { CLIENT_KEY, errorOf, mock, say } from './support/clients.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { backend, type Document, quotaPolicy, route, teamQuota } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { wordsOf } from './support/words.ts';
import { CLAUDE, MODEL } from './support/world.ts';

const KEYS = { first: 'sk-of-the-first-0123456789', second: 'sk-of-the-second-0123456789' };
/** Longer than any test, so that only the client's retry can reach another backend. */
const COOLDOWN = '10m';

let first: Provider;
let second: Provider;
let gateway: Gateway;
let openai: OpenAI;
let anthropic: Anthropic;

/** The name of the route, with characters that Vertex AI takes, and a part of its digest. */
const ON_VERTEX = `default_failover-${hash('sha256', 'default/failover').slice(0, 8)}`;

/** The rules whose first backend is limited. */
const LIMITED = ['limited', 'messages', 'spent', 'short-rest', 'used-up', 'raw-429'] as const;

const withKey = (key: keyof typeof KEYS): Document => ({
  credential: { type: 'APIKey', apiKey: { secretRef: { name: 'keys', key } } },
});

/**
 * Each case has a rule of its own, because a backend that fails rests for one rule. One that is
 * limited, or refuses connections, rests for all rules: such cases have backends of their own.
 */
function rule(name: string, from: string, to: Document, more: Document = {}) {
  return {
    name,
    models: [name],
    backendRefs: [
      { name: from, model: MODEL },
      { ...to, priority: 1 },
    ],
    more: { failover: { cooldown: COOLDOWN, ...more }, timeouts: { firstToken: '300ms' }, unsupported: 'Drop' },
  };
}

/** Returns a backend whose requests have its own name as a label. */
function labelled(name: string, schema: 'GCPVertexAI' | 'AWSBedrock', { port }: Provider, key: keyof typeof KEYS) {
  const requestLabels = [
    { name: 'backend', type: 'Value', value: name },
    { name: 'route', type: 'Route' },
  ];
  return backend(name, { schema, port, more: { ...withKey(key), requestLabels } });
}

before(async () => {
  first = await startProvider();
  second = await startProvider();
  const [deadPort = 0] = await freePorts(1);
  const models = [{ name: '*', maxOutputTokens: 4096 }];
  const spare = { name: 'spare', model: MODEL };
  const claude = { name: 'claude', model: CLAUDE };
  gateway = await startGateway([
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'keys', namespace: 'default' }, stringData: KEYS },
    backend('main', { port: first.port, models, more: withKey('first') }),
    ...LIMITED.map((name) => backend(`main-${name}`, { port: first.port, models, more: withKey('first') })),
    backend('dead', { port: deadPort, models, more: withKey('first') }),
    backend('dead-raw', { port: deadPort, models, more: withKey('first') }),
    backend('spare-both', { port: second.port, models, more: withKey('second') }),
    backend('spare', { port: second.port, models, more: withKey('second') }),
    backend('first-claude', { schema: 'Anthropic', port: first.port, models, more: withKey('first') }),
    backend('prefixed', { port: second.port, models, more: { ...withKey('second'), pathPrefix: '/team/v1' } }),
    backend('claude', { schema: 'Anthropic', port: second.port, models, more: withKey('second') }),
    labelled('vertex', 'GCPVertexAI', first, 'first'),
    labelled('bedrock', 'AWSBedrock', second, 'second'),
    labelled('bedrock-first', 'AWSBedrock', first, 'first'),
    labelled('vertex-second', 'GCPVertexAI', second, 'second'),
    route('failover', [
      rule('refused', 'dead', spare),
      ...['broken', 'failing', 'large', 'late', 'silent', 'cut', 'well'].map((name) => rule(name, 'main', spare)),
      ...LIMITED.map((name) => rule(name, `main-${name}`, spare)),
      rule('converted', 'main', claude),
      rule('raw-refused', 'dead-raw', spare),
      ...['raw-500', 'raw-reset', 'raw-late', 'raw-trailers'].map((name) => rule(name, 'main', spare)),
      rule('raw-both', 'main', { name: 'spare-both', model: MODEL }),
      rule('raw-converted', 'main', claude),
      rule('raw-converted-stream', 'main', claude),
      rule('raw-back', 'first-claude', { name: 'prefixed', model: MODEL }),
      {
        ...rule('labels', 'vertex', {}),
        backendRefs: [
          { name: 'vertex', model: 'claude-sonnet-4-5@20250929' },
          { name: 'bedrock', model: 'amazon.nova-lite-v1:0', priority: 1 },
        ],
      },
      rule('labels-back', 'bedrock-first', { name: 'vertex-second', model: 'gemini-2.5-flash' }),
      rule('load', 'main', claude, { cooldown: '1ms' }),
      rule('only-5xx', 'main', spare, { on: ['5xx'] }),
    ]),
    quotaPolicy('counted', 'failover', [teamQuota('requests', 'Requests', 1000, { onMissingKey: 'Shared' })]),
  ]);
  openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: CLIENT_KEY });
  anthropic = new Anthropic({ baseURL: gateway.url, apiKey: CLIENT_KEY });
});
after(async () => {
  await first?.stop();
  await second?.stop();
  await gateway?.stop();
});
beforeEach(() => {
  first.defaults = {};
  first.forget();
  second.defaults = { tokens: 3 };
  second.forget();
});

async function answer(model: string, prompt = 'Hello'): Promise<string | null | undefined> {
  const { choices } = await openai.chat.completions.create({ model, messages: say(prompt) });
  return choices[0]?.message.content;
}

async function streamed(model: string): Promise<string> {
  const stream = await openai.chat.completions.create({ model, messages: say('Hello'), stream: true });
  let text = '';
  for await (const { choices } of stream) {
    text += choices[0]?.delta.content ?? '';
  }
  return text;
}

function assertOneEach(): void {
  assert.deepEqual([first.seen.length, second.seen.length], [1, 1]);
  assert.equal(first.seen[0]?.headers['authorization'], `Bearer ${KEYS.first}`);
  const { authorization, 'x-api-key': apiKey } = second.seen[0]!.headers;
  assert.equal(authorization ?? apiKey, authorization ? `Bearer ${KEYS.second}` : KEYS.second);
}

describe('the official client reaches the second backend', () => {
  it('when the first one refuses connections', async () => {
    assert.equal(await answer('refused'), wordsOf(3));
    assert.equal(second.seen.length, 1);
  });

  it('when the first one breaks before it answers', async () => {
    first.defaults = { fail: { when: 'before', how: 'reset' } };
    assert.equal(await streamed('broken'), wordsOf(3));
    assertOneEach();
  });

  it('at once when the first one is limited and says to wait for 30 s', async () => {
    first.defaults = { status: 429, headers: { 'retry-after': '30' } };
    const before = performance.now();
    assert.equal(await streamed('limited'), wordsOf(3));
    assert.ok(performance.now() - before < 10_000);
    assertOneEach();
    // It still rests, and serves nothing.
    assert.equal(await answer('limited'), wordsOf(3));
    assert.equal(first.seen.length, 1);
  });

  it('when the first one fails, and is charged once', async () => {
    first.defaults = { status: 500 };
    assert.equal(await answer('failing'), wordsOf(3));
    assertOneEach();
    const [record] = await gateway.recordsWhere('rule failing', 1, ({ line }) => line.includes('"rule":"failing"'));
    assert.equal(record!.outputTokens, 3);
    assert.equal(record!.keys.length, 0);
  });

  it('with a body of 5 MB', async () => {
    first.defaults = { status: 503 };
    assert.equal(await answer('large', 'word '.repeat(1_000_000)), wordsOf(3));
    assertOneEach();
    assert.ok(second.seen[0]!.bodyBytes > 5_000_000);
  });

  it('when the first one sends no token in time', async () => {
    first.defaults = { delayMs: 3_000 };
    assert.equal(await streamed('late'), wordsOf(3));
    assertOneEach();
  });

  it('when the first one sends headers, the beginning of a stream and no token', async () => {
    first.defaults = { fail: { when: 'in', how: 'silent', chunks: 0 } };
    assert.equal(await streamed('silent'), wordsOf(3));
    assertOneEach();
    const [record] = await gateway.recordsWhere('rule silent', 1, ({ line }) => line.includes('"rule":"silent"'));
    assert.match(record!.line, /"status":504,"error":"first_token_timeout","failover":"FirstTokenTimeout"/);
  });

  it('when the first one breaks a stream off before its first token', async () => {
    first.defaults = { fail: { when: 'in', how: 'reset', chunks: 0 } };
    assert.equal(await streamed('cut'), wordsOf(3));
    assertOneEach();
  });

  it('only then: a stream of the first one passes', async () => {
    first.defaults = { tokens: 40, paceMs: 1 };
    assert.equal(await streamed('well'), wordsOf(40));
    assert.equal(second.seen.length, 0);
  });

  it('which speaks another API', async () => {
    first.defaults = { status: 502 };
    assert.equal(await answer('converted'), wordsOf(3));
    assertOneEach();
    assert.equal(second.seen[0]?.path, '/v1/messages');
  });

  it('also as the client of messages', async () => {
    first.defaults = { status: 429, headers: { 'retry-after': '30' } };
    const { content } = await anthropic.messages.create({ model: 'messages', max_tokens: 50, messages: say('Hello') });
    assert.deepEqual(
      content.map((block) => block.type === 'text' && block.text),
      [wordsOf(3)],
    );
    assertOneEach();
  });
});

/** Sends one request without any retry of the client. */
async function sendOnce(model: string, more: Document = {}, path = '/v1/chat/completions'): Promise<Response> {
  return fetch(`${gateway.url}${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${CLIENT_KEY}`,
      'content-type': 'application/json',
      'anthropic-version': 'of-the-client',
    },
    body: JSON.stringify({ model, messages: say('Hello'), ...more }),
  });
}

async function attemptsOf(name: string): Promise<readonly Document[]> {
  const [record] = await gateway.recordsWhere(name, 1, ({ line }) => line.includes(`"rule":"${name}"`));
  return JSON.parse(record!.line).attempts.map(({ durationMs: _, ...attempt }: Document) => attempt);
}

describe('one request reaches the second backend', () => {
  const ways: readonly [name: string, first: Behaviour, attempt: Document][] = [
    ['raw-429', { status: 429, headers: { 'retry-after': '30' } }, { status: 429, cause: 'RateLimited' }],
    ['raw-500', { status: 500 }, { status: 500, cause: '5xx' }],
    ['raw-reset', { fail: { when: 'before', how: 'reset' } }, { cause: '5xx' }],
    ['raw-late', { delayMs: 3_000 }, { cause: 'FirstTokenTimeout' }],
  ];
  for (const [name, behaviour, attempt] of ways) {
    it(`after ${name.slice(4)}, in a stream`, async () => {
      first.defaults = behaviour;
      const response = await sendOnce(name, { stream: true });
      assert.equal(response.status, 200);
      assert.equal(response.headers.get('x-should-retry'), null);
      assert.match(await response.text(), /data: \[DONE\]\n\n$/);
      assertOneEach();
      assert.deepEqual(await attemptsOf(name), [
        { backend: name === 'raw-429' ? 'default/main-raw-429' : 'default/main', ...attempt },
        { backend: 'default/spare', status: 200 },
      ]);
    });
  }

  it('after a refused connection', async () => {
    const response = await sendOnce('raw-refused');
    assert.equal(response.status, 200);
    assert.equal(JSON.parse(await response.text()).choices[0].message.content, wordsOf(3));
    assert.equal(second.seen[0]!.headers['authorization'], `Bearer ${KEYS.second}`);
  });

  it('converted to its API, with its own path, host and key only', async () => {
    first.defaults = { status: 500 };
    const response = await sendOnce('raw-converted');
    assert.equal(JSON.parse(await response.text()).choices[0].message.content, wordsOf(3));
    const [one, other] = [first.seen[0]!, second.seen[0]!];
    assert.deepEqual([one.path, other.path], ['/v1/chat/completions', '/v1/messages']);
    assert.deepEqual(
      [one.headers['host'], other.headers['host']],
      [`127.0.0.1:${first.port}`, `127.0.0.1:${second.port}`],
    );
    assert.equal(one.headers['x-api-key'], undefined);
    assert.equal(other.headers['authorization'], undefined);
    assert.equal(other.headers['x-api-key'], KEYS.second);
    assert.equal(other.headers['anthropic-version'], '2023-06-01');
    assert.deepEqual(
      [one, other].map(({ headers, bodyBytes }) => headers['content-length'] === String(bodyBytes)),
      [true, true],
    );
    for (const { headers } of [one, other]) {
      assert.deepEqual(
        Object.keys(headers).filter((name) => /^x-(tallygate|envoy)/.test(name)),
        [],
      );
    }
  });

  it('in a converted stream', async () => {
    first.defaults = { status: 503 };
    const response = await sendOnce('raw-converted-stream', { stream: true });
    assert.match(await response.text(), /data: \[DONE\]\n\n$/);
    assertOneEach();
  });

  it('without what the conversion for the first one set, under the prefix of its own', async () => {
    first.defaults = { status: 529 };
    await sendOnce('raw-back', { max_tokens: 5 });
    const [one, other] = [first.seen[0]!, second.seen[0]!];
    assert.deepEqual([one.path, other.path], ['/v1/messages', '/team/v1/chat/completions']);
    assert.deepEqual([one.headers['x-api-key'], other.headers['x-api-key']], [KEYS.first, undefined]);
    assert.deepEqual(
      [one.headers['anthropic-version'], other.headers['anthropic-version']],
      ['2023-06-01', 'of-the-client'],
    );
  });

  it('with its own labels, and none of the first one or of the client', async () => {
    first.defaults = { status: 500 };
    const forged = Buffer.from('{"backend":"other"}').toString('base64');
    await anthropic.messages.create(
      { model: 'labels', max_tokens: 50, messages: say('Hello') },
      { headers: { 'x-vertex-ai-labels': forged }, maxRetries: 0 },
    );
    const [vertex, bedrock] = [first.seen[0]!, second.seen[0]!];
    const labels = JSON.parse(Buffer.from(vertex.headers['x-vertex-ai-labels'] ?? '', 'base64').toString());
    assert.deepEqual(labels, { backend: 'vertex', route: ON_VERTEX });
    assert.deepEqual(JSON.parse(bedrock.body).requestMetadata, { backend: 'bedrock', route: 'default/failover' });
    assert.equal(bedrock.headers['x-vertex-ai-labels'], undefined);
    first.forget();
    second.forget();
    await sendOnce('labels-back');
    assert.equal(JSON.parse(first.seen[0]!.body).requestMetadata.backend, 'bedrock-first');
    const { labels: onGemini, requestMetadata } = JSON.parse(second.seen[0]!.body);
    assert.deepEqual([onGemini, requestMetadata], [{ backend: 'vertex-second', route: ON_VERTEX }, undefined]);
  });

  it('although the client sent trailers', async () => {
    first.defaults = { status: 500 };
    const request = http.request(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', trailer: 'x-checksum', 'transfer-encoding': 'chunked' },
    });
    const answered = once(request, 'response');
    request.write(JSON.stringify({ model: 'raw-trailers', messages: say('Hello') }));
    request.addTrailers({ 'x-checksum': 'abc' });
    request.end();
    const [response] = (await answered) as [http.IncomingMessage];
    assert.equal(response.statusCode, 200);
    response.resume();
    assertOneEach();
  });

  it('and gets the error of the last one if all fail', async () => {
    first.defaults = { status: 500 };
    second.defaults = { status: 429, headers: { 'retry-after': '7' } };
    const response = await sendOnce('raw-both');
    assert.equal(response.status, 429);
    assert.deepEqual(
      (await attemptsOf('raw-both')).map(({ status }) => status),
      [500, 429],
    );
  });

  it('with 300 KB and 5 MB at 8 connections, each charged once, while Envoy lives', async () => {
    const pid = gateway.envoyPid();
    first.defaults = { status: 500 };
    const sizes = Array.from({ length: 40 }, (_, index) => (index % 20 === 19 ? 1_000_000 : 60_000));
    const statuses: number[] = [];
    await Promise.all(
      Array.from({ length: 8 }, async (_, lane) => {
        for (let index = lane; index < sizes.length; index += 8) {
          const content = 'word '.repeat(sizes[index]!);
          const response = await sendOnce('load', { messages: [{ role: 'user', content }] });
          statuses.push(response.status);
          await response.text();
        }
      }),
    );
    assert.deepEqual(new Set(statuses), new Set([200]));
    const records = await gateway.recordsWhere('load', sizes.length, ({ line }) => line.includes('"rule":"load"'));
    assert.ok(records.every(({ outputTokens }) => outputTokens === 3));
    assert.ok(second.seen.length === sizes.length && first.seen.length > 0);
    assert.equal(gateway.envoyPid(), pid);
  });
});

describe('a backend', () => {
  it('rests once its rate limit is spent, although the response succeeded', async () => {
    first.defaults = {
      tokens: 2,
      headers: { 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-reset-requests': '5m0s' },
    };
    assert.equal(await answer('spent'), wordsOf(2));
    assert.equal(await answer('spent'), wordsOf(3));
    assertOneEach();
  });

  it('serves again once its provider said that it may', async () => {
    first.defaults = { status: 429, headers: { 'retry-after-ms': '200' } };
    assert.equal(await answer('short-rest'), wordsOf(3));
    first.defaults = { tokens: 2 };
    await waitFor('an answer of the first backend', async () => (await answer('short-rest')) === wordsOf(2), 5_000);
  });

  it('does not rest for a cause that `on` does not name', async () => {
    first.defaults = { status: 429, headers: { 'retry-after': '30' } };
    const failed = await errorOf(
      openai.chat.completions.create({ model: 'only-5xx', messages: say('Hello') }, { ...mock({}), maxRetries: 0 }),
    );
    assert.ok(failed instanceof OpenAI.RateLimitError, String(failed));
    assert.equal(failed.headers.get('retry-after'), '30');
    assert.equal(failed.headers.get('x-should-retry'), null);
    first.defaults = { tokens: 2 };
    assert.equal(await answer('only-5xx'), wordsOf(2));
  });
});

describe('an error response', () => {
  it('ends the retries of a client that has used its attempts', async () => {
    first.defaults = { status: 500 };
    const failed = await errorOf(
      openai.chat.completions.create(
        { model: 'used-up', messages: say('Hello') },
        { headers: { 'x-stainless-retry-count': '2' } },
      ),
    );
    assert.ok(failed instanceof OpenAI.InternalServerError, String(failed));
    assert.equal(failed.headers.get('x-should-retry'), 'false');
    assert.deepEqual([first.seen.length, second.seen.length], [1, 0]);
  });
});
