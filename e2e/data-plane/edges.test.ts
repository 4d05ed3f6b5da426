/**
 * Clients at the edge of the protocol: old HTTP, wrong hosts, oversized headers, and the list of
 * models in the shape of each API.
 */
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import { call } from './support/client.ts';
import { say } from './support/clients.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { backend, route } from './support/resources.ts';

let provider: Provider;
let gateway: Gateway;
let bare: Gateway;

before(async () => {
  provider = await startProvider();
  gateway = await startGateway([
    backend('openai', { port: provider.port, models: [{ name: 'gpt-4o' }, { name: 'o3' }, { name: 'text-*' }] }),
    backend('anthropic', {
      schema: 'Anthropic',
      port: provider.port,
      models: [{ name: 'claude-sonnet-4', maxOutputTokens: 64_000 }],
    }),
    route(
      'edges',
      [
        { name: 'gpt', models: ['gpt-*'], backendRefs: [{ name: 'openai', model: 'gpt-4o' }] },
        { name: 'claude', models: ['claude-*'], backendRefs: [{ name: 'anthropic' }] },
        { name: 'exact', models: ['cheap'], backendRefs: [{ name: 'openai', model: 'gpt-4o' }] },
      ],
      { hostnames: ['ai.example.com'] },
    ),
  ]);
  bare = await startGateway([]);
});
after(async () => {
  await gateway?.stop();
  await bare?.stop();
  await provider?.stop();
});

const HOST = { host: 'ai.example.com' };

/** Writes text to the gateway and reads until the connection closes. */
async function exchange(port: number, text: string): Promise<string> {
  const socket = net.connect(port, '127.0.0.1');
  socket.on('error', () => {});
  let received = '';
  socket.on('data', (piece) => {
    received += piece.toString('latin1');
  });
  socket.write(text);
  await new Promise((resolve) => socket.once('close', resolve));
  return received;
}

describe('an HTTP/1.0 request', () => {
  const ask = (lines: readonly string[], body: unknown) => {
    const text = JSON.stringify(body);
    return [
      'POST /v1/chat/completions HTTP/1.0',
      'content-type: application/json',
      `content-length: ${Buffer.byteLength(text)}`,
      ...lines,
      '',
      text,
    ].join('\r\n');
  };
  for (const stream of [false, true]) {
    it(`gets ${stream ? 'a stream' : 'JSON'} without chunked encoding`, async () => {
      const body = { model: 'gpt-4o', messages: say('Hello'), stream };
      const answer = await exchange(gateway.port, ask(['host: ai.example.com', 'x-mock: {"tokens":3}'], body));
      const [head = '', rest = ''] = answer.split('\r\n\r\n', 2);
      assert.match(head, /^HTTP\/1\.[01] 200 /, answer.slice(0, 200));
      assert.doesNotMatch(head, /transfer-encoding/i);
      if (stream) {
        assert.match(answer, /data: \[DONE\]\n\n$/);
      } else {
        assert.equal(JSON.parse(rest).usage.completion_tokens, 3);
      }
    });
  }

  it('is refused without a host as with a wrong host', async () => {
    const answer = await exchange(gateway.port, ask([], { model: 'gpt-4o', messages: say('Hello') }));
    assert.match(answer, /^HTTP\/1\.[01] 404 /, answer.slice(0, 200));
    assert.match(answer, /unknown_endpoint/);
  });
});

describe('a request without a route', () => {
  const places = {
    'a wrong host': () => ({ url: gateway.url, headers: { host: 'other.example.com' } }),
    'a Gateway without routes': () => ({ url: bare.url, headers: {} }),
  } as const;
  for (const [name, place] of Object.entries(places)) {
    for (const [dialect, path] of [
      ['OpenAI', '/v1/chat/completions'],
      ['Anthropic', '/v1/messages'],
    ] as const) {
      it(`gets 404 in the format of ${dialect} (${name})`, async () => {
        const { url, headers } = place();
        const body = { model: 'gpt-4o', max_tokens: 5, messages: say('Hello') };
        const { status, json } = await call(`${url}${path}`, body, { headers });
        assert.equal(status, 404);
        assert.equal(json.error.code, 'unknown_endpoint');
        assert.equal(json.type, dialect === 'Anthropic' ? 'error' : undefined);
      });
    }

    it(`gets 404 for the list of models (${name})`, async () => {
      const { url, headers } = place();
      const { status, json } = await call(`${url}/v1/models`, undefined, { headers });
      assert.equal(status, 404);
      assert.equal(json.error.code, 'unknown_endpoint');
    });
  }
});

describe('the list of models', () => {
  const list = async (headers: Readonly<Record<string, string>> = {}) =>
    (await call(`${gateway.url}/v1/models`, undefined, { headers: { ...HOST, ...headers } })).json;
  const one = (name: string, headers: Readonly<Record<string, string>> = {}) =>
    call(`${gateway.url}/v1/models/${name}`, undefined, { headers: { ...HOST, ...headers } });
  const anthropic = { 'anthropic-version': '2023-06-01' };
  const ids = (json: { readonly data: readonly { readonly id: string }[] }) => json.data.map(({ id }) => id);

  it('has exact names and the backends’ names that match globs, in the format of the API', async () => {
    const openAi = await list();
    assert.equal(openAi.object, 'list');
    assert.deepEqual(ids(openAi), ['cheap', 'claude-sonnet-4', 'gpt-4o']);
    const claude = await list(anthropic);
    assert.equal(claude.has_more, false);
    assert.deepEqual(ids(claude), ids(openAi));
    assert.equal(claude.data[0].type, 'model');
  });

  it('has exactly the models for which a request would be routed', async () => {
    assert.equal((await one('gpt-5-mini')).json.id, 'gpt-5-mini');
    assert.equal((await one('o3')).status, 404);
    assert.equal((await one('claude-sonnet-4')).json.object, 'model');
    assert.equal((await one('claude-opus-9', anthropic)).json.type, 'model');
    const missing = await one('o3', anthropic);
    assert.equal(missing.status, 404);
    assert.equal(missing.json.error.type, 'not_found_error');
  });
});

describe('a request with oversized headers', () => {
  for (const [name, lines] of [
    ['of one header', [`x-large: ${'a'.repeat(300_000)}`]],
    ['of many headers', Array.from({ length: 2_000 }, (_, index) => `x-${index}: a`)],
  ] as const) {
    it(`gets 431 with a body over HTTP/1.1 (${name})`, async () => {
      const head = ['POST /v1/chat/completions HTTP/1.1', 'host: ai.example.com', ...lines, '', ''].join('\r\n');
      const answer = await exchange(gateway.port, head);
      assert.match(answer, /^HTTP\/1\.1 431 /, answer.slice(0, 200));
      assert.match(answer, /"code":"invalid_request"/);
    });
  }

  it('is reset over HTTP/2, and other streams of the connection continue', async () => {
    const session = http2.connect(gateway.url);
    session.on('error', () => {});
    const ask = (headers: Readonly<Record<string, string>>) =>
      session.request({ ':path': '/v1/models', ':authority': 'ai.example.com', ...headers });
    try {
      const large = ask(Object.fromEntries(Array.from({ length: 2_000 }, (_, index) => [`x-${index}`, 'a'])));
      await assert.rejects(large.toArray(), /NGHTTP2_INTERNAL_ERROR/);
      const pieces = await ask({}).toArray();
      assert.match(pieces.join(''), /"object":"list"/);
    } finally {
      session.destroy();
    }
  });
});
