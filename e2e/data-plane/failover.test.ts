/**
 * Failover by the client's own retry: the official clients, unmodified and with their own retries,
 * reach the next backend at once when the first one fails.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { freePorts } from '../../fixtures/free-ports.ts';
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

const withKey = (key: keyof typeof KEYS): Document => ({
  credential: { type: 'APIKey', apiKey: { secretRef: { name: 'keys', key } } },
});

/** Each case has a rule of its own, because a backend rests for one rule. */
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
    backend('dead', { port: deadPort, models, more: withKey('first') }),
    backend('spare', { port: second.port, models, more: withKey('second') }),
    backend('claude', { schema: 'Anthropic', port: second.port, models, more: withKey('second') }),
    route('failover', [
      rule('refused', 'dead', spare),
      ...[
        'broken',
        'limited',
        'failing',
        'large',
        'late',
        'messages',
        'spent',
        'short-rest',
        'used-up',
        'silent',
        'cut',
        'well',
      ].map((name) => rule(name, 'main', spare)),
      rule('converted', 'main', claude),
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
    const records = await gateway.recordsWhere('rule failing', 2, ({ line }) => line.includes('"rule":"failing"'));
    assert.match(records[0]!.line, /"failover":"5xx"/);
    assert.doesNotMatch(records[0]!.line, /"tokens"/);
    assert.equal(records[1]!.outputTokens, 3);
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
