/** Which endpoints, headers and bytes pass the gateway. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type OpenAI from 'openai';
import { call } from './support/client.ts';
import { CLIENT_KEY, say } from './support/clients.ts';
import { head, rawCall } from './support/raw-client.ts';
import { PROVIDER_KEY, quotaPolicy, teamQuota } from './support/resources.ts';
import { eventsOf } from './support/sse.ts';
import { waitFor } from './support/wait.ts';
import { wordsOf } from './support/words.ts';
import { CLAUDE, MODEL, startWorld, type World } from './support/world.ts';

let world: World;

before(async () => {
  const day = { window: { type: 'Calendar', calendar: { unit: 'Day', timeZone: 'UTC' } }, onMissingKey: 'Shared' };
  world = await startWorld(
    [
      quotaPolicy('day', 'chat', [
        teamQuota('tokens', 'TotalTokens', 100_000_000, { ...day, unmetered: 'Allow' }),
        teamQuota('requests', 'Requests', 1_000_000, day),
      ]),
    ],
    { passthrough: [{ method: 'GET', path: '/v1/files/*' }] },
  );
});
after(() => world?.stop());
beforeEach(() => world.provider.forget());

function lastSeen() {
  const seen = world.provider.seen.at(-1);
  assert.ok(seen, 'the provider saw no request');
  return seen;
}

describe('endpoints', () => {
  for (const [method, path] of [
    ['GET', '/v1/chat/completions'],
    ['DELETE', '/v1/chat/completions'],
    ['POST', '/v1/fine_tuning/jobs'],
    ['POST', '/v1/chat/completions/'],
    ['POST', '/V1/chat/completions'],
    ['GET', '/v1/threads'],
    ['PUT', '/v1/files/abc'],
  ] as const) {
    it(`${method} ${path} gets 404`, async () => {
      const body = method === 'GET' ? undefined : { model: MODEL, messages: say('Hello') };
      const { status, json } = await call(`${world.gateway.url}${path}`, body, { method });
      assert.equal(status, 404);
      assert.equal(json.error.code, 'unknown_endpoint');
      assert.equal(world.provider.seen.length, 0);
    });
  }

  it('an upgrade does not pass', async () => {
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

  it('a listed endpoint passes with the provider’s key', async () => {
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

  it('the provider receives its own key and none of the client’s credentials', async () => {
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

  it('the provider receives neither account identifiers nor the client’s location', async () => {
    const hidden = [
      'openai-organization openai-project x-goog-user-project ocp-apim-subscription-key x-amz-security-token x-amz-date',
      'x-amzn-bedrock-guardrailidentifier x-goog-api-key proxy-authorization forwarded x-forwarded-for x-forwarded-host',
      'x-forwarded-client-cert x-forwarded-port x-forwarded-proto x-forwarded-server x-original-forwarded-for x-real-ip x-client-ip',
      'x-cluster-client-ip true-client-ip cf-connecting-ip fastly-client-ip x-envoy-external-address via',
    ].flatMap((line) => line.split(' '));
    const kept = ['anthropic-version', 'anthropic-beta', 'openai-beta', 'x-stainless-lang', 'idempotency-key'];
    const all = Object.fromEntries([...hidden, ...kept].map((name) => [name, 'told-by-the-client']));
    for (const [path, body] of [
      ['/v1/chat/completions', { model: MODEL, messages: say('Hello') }],
      ['/v1/files/abc', undefined],
    ] as const) {
      const { status, text } = await call(`${world.gateway.url}${path}`, body, { headers: all, mock: { tokens: 2 } });
      assert.equal(status, 200, text);
      const { headers } = lastSeen();
      assert.deepEqual(
        hidden.filter((name) => headers[name] !== undefined),
        [],
        path,
      );
      assert.deepEqual(
        kept.filter((name) => headers[name] !== 'told-by-the-client'),
        [],
        path,
      );
    }
  });

  it('the client receives nothing about the provider’s account or servers', async () => {
    const hidden = {
      'openai-organization': 'acme',
      'openai-project': 'proj_123',
      'anthropic-organization-id': 'acme',
      'set-cookie': '__cf_bm=abc; path=/',
      server: 'provider-internal/1.2',
      'alt-svc': 'h3=":443"',
      'strict-transport-security': 'max-age=1',
      'x-tallygate-debug': 'yes',
      'x-ratelimit-limit-project-tokens': '12345',
      'x-ratelimit-remaining-input-tokens': '12345',
      'anthropic-ratelimit-output-tokens-remaining': '12345',
    };
    const kept = { 'request-id': 'req_1', 'retry-after-ms': '7', 'openai-processing-ms': '9' };
    for (const stream of [false, true]) {
      const { status, headers } = await call(
        `${world.gateway.url}/v1/chat/completions`,
        { model: MODEL, messages: say('Hello'), stream },
        { mock: { tokens: 2, headers: { ...hidden, ...kept, 'x-ratelimit-remaining-tokens': '12345' } } },
      );
      assert.equal(status, 200);
      assert.deepEqual(
        Object.keys(hidden).filter((name) => headers[name] !== undefined),
        [],
      );
      for (const [name, value] of Object.entries(kept)) {
        assert.equal(headers[name], value);
      }
      assert.ok(Number(headers['x-ratelimit-remaining-tokens']) > 99_000_000, 'the gateway’s own limit stays');
    }
    const passed = await call(`${world.gateway.url}/v1/files/abc`, undefined, {
      mock: { status: 200, headers: hidden },
    });
    for (const name of Object.keys(hidden)) {
      if (!name.includes('ratelimit')) {
        assert.equal(passed.headers[name], undefined, name);
      }
    }
    const failed = await call(
      `${world.gateway.url}/v1/chat/completions`,
      { model: MODEL, messages: say('Hello') },
      { mock: { status: 400, headers: hidden } },
    );
    assert.equal(failed.status, 400);
    for (const name of Object.keys(hidden)) {
      assert.equal(failed.headers[name], undefined, name);
    }
  });

  it('forged headers of the gateway are neither trusted nor passed on', async () => {
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

  it('a forged route header does not open a closed endpoint', async () => {
    const { status } = await call(
      `${world.gateway.url}/v1/fine_tuning/jobs`,
      { model: MODEL },
      {
        headers: { 'x-tallygate-route': 'default/chat/openai/openai' },
      },
    );
    assert.equal(status, 404);
  });

  it('successful responses report the remaining budget in the headers of the API', async () => {
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

describe('content-length', () => {
  it('is correct on both sides, also for edited bodies', async () => {
    for (const model of [MODEL, 'cheap']) {
      const { headers, bytes } = await call(
        `${world.gateway.url}/v1/chat/completions`,
        { model, messages: say('Hello') },
        { mock: { tokens: 2 } },
      );
      assert.equal(headers['content-length'], String(bytes.length));
      assert.equal(headers['transfer-encoding'], undefined);
      const seen = lastSeen();
      assert.equal(JSON.parse(seen.body).model, MODEL);
      assert.equal(seen.headers['content-length'], String(seen.bodyBytes));
      assert.equal(seen.headers['transfer-encoding'], undefined);
    }
  });

  it('is absent on streams, even if the provider sends it', async () => {
    const { headers, text } = await call(
      `${world.gateway.url}/v1/chat/completions`,
      { model: MODEL, messages: say('Hello'), stream: true },
      { mock: { tokens: 2 } },
    );
    assert.equal(headers['content-length'], undefined);
    assert.equal(eventsOf(text).at(-1)?.data, '[DONE]');
    // The gateway requested usage, which makes the stream longer.
    assert.equal(lastSeen().headers['content-length'], String(lastSeen().bodyBytes));
  });
});

describe('the bytes of a response', () => {
  it('are unchanged in a stream with requested usage', async () => {
    const body = { model: MODEL, messages: say('Hello'), stream: true, stream_options: { include_usage: true } };
    const { text } = await call(`${world.gateway.url}/v1/chat/completions`, body, {
      mock: { tokens: 500, tokensAChunk: 3 },
    });
    assert.equal(text, lastSeen().answer);
    assert.equal(eventsOf(text).at(-1)?.data, '[DONE]');
  });

  for (const encoding of ['gzip', 'br', 'zstd'] as const) {
    it(`are unchanged and counted after decoding ${encoding}`, async () => {
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
