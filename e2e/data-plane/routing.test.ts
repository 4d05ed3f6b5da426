/** Which rule and backend serve a request: models, headers, weights, priorities; and timeouts. */
import assert from 'node:assert/strict';
import http from 'node:http';
import http2 from 'node:http2';
import { after, before, beforeEach, describe, it } from 'node:test';
import { freePorts } from '../../fixtures/free-ports.ts';
import { type CallOptions, call } from './support/client.ts';
import { say } from './support/clients.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { backend, route } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { wordsOf } from './support/words.ts';

let red: Provider;
let blue: Provider;
let gateway: Gateway;

before(async () => {
  red = await startProvider();
  blue = await startProvider();
  const [deadPort = 0] = await freePorts(1);
  const to = (name: string, more: Readonly<Record<string, unknown>> = {}) => ({ name, ...more });
  const priced = (usd: string) => ({
    name: 'cost',
    prices: { currency: 'USD', perMillionTokens: { input: usd, output: usd } },
  });
  gateway = await startGateway([
    backend('red', { port: red.port }),
    backend('blue', { port: blue.port }),
    backend('dead', { port: deadPort }),
    backend('cheap', { port: blue.port, more: { models: [priced('1')] } }),
    backend('dear', { port: red.port, more: { models: [priced('2')] } }),
    backend('prefixed', { port: blue.port, more: { pathPrefix: '/proxy/openai/v1' } }),
    route('all', [
      { name: 'any', models: ['*'], backendRefs: [to('red')] },
      { name: 'short', models: ['m-*'], backendRefs: [to('red')] },
      { name: 'long', models: ['m-long-*'], backendRefs: [to('blue')] },
      { name: 'exact', models: ['m-long-exact'], backendRefs: [to('red')] },
      {
        name: 'header',
        models: ['*'],
        backendRefs: [to('blue')],
        more: { headers: [{ name: 'x-tier', value: 'gold' }] },
      },
      {
        name: 'pattern',
        models: ['m-*'],
        backendRefs: [to('blue')],
        more: { headers: [{ type: 'RegularExpression', name: 'x-user', value: 'a[0-9]+' }] },
      },
      { name: 'weights', models: ['weights'], backendRefs: [to('red', { weight: 3 }), to('blue', { weight: 1 })] },
      {
        name: 'cost',
        models: ['cost'],
        backendRefs: [to('dear'), to('cheap')],
        more: { loadBalancer: { type: 'LeastCost' } },
      },
      {
        name: 'latency',
        models: ['latency'],
        backendRefs: [to('red'), to('blue')],
        more: { loadBalancer: { type: 'LeastLatency' } },
      },
      { name: 'none', models: ['none'], backendRefs: [to('red', { weight: 0 }), to('blue', { weight: 1 })] },
      { name: 'spare', models: ['spare'], backendRefs: [to('dead'), to('blue', { priority: 1 })] },
      { name: 'gone', models: ['gone'], backendRefs: [to('dead')] },
      { name: 'prefixed', models: ['prefixed'], backendRefs: [to('prefixed')] },
      { name: 'timed', models: ['timed'], backendRefs: [to('red')], more: { timeouts: { request: '500ms' } } },
      { name: 'idle', models: ['idle'], backendRefs: [to('red')], more: { timeouts: { idle: '500ms' } } },
    ]),
  ]);
});
after(async () => {
  await red?.stop();
  await blue?.stop();
  await gateway?.stop();
});
beforeEach(() => {
  red.forget();
  blue.forget();
});

function ask(model: string, options: CallOptions = {}, more: Readonly<Record<string, unknown>> = {}) {
  return call(
    `${gateway.url}/v1/chat/completions`,
    { model, messages: say('Hello'), ...more },
    { mock: { tokens: 2 }, ...options },
  );
}

async function served(model: string, headers: Readonly<Record<string, string>> = {}): Promise<'red' | 'blue'> {
  const { status, text } = await ask(model, { headers });
  assert.equal(status, 200, text);
  const [redCount, blueCount] = [red.seen.length, blue.seen.length];
  red.forget();
  blue.forget();
  assert.equal(redCount + blueCount, 1);
  return redCount === 1 ? 'red' : 'blue';
}

describe('a rule', () => {
  it('with an exact name precedes globs, and a longer glob precedes shorter ones', async () => {
    assert.equal(await served('something'), 'red');
    assert.equal(await served('m-1'), 'red');
    assert.equal(await served('m-long-1'), 'blue');
    assert.equal(await served('m-long-exact'), 'red');
  });

  it('matches a name that looks like a pattern literally', async () => {
    assert.equal(await served('m-long-*'), 'blue');
    assert.equal(await served('.*'), 'red');
    assert.equal(await served('org/model:tag@v1 ü'), 'red');
  });

  it('matches exact header values, and patterns against the whole value', async () => {
    assert.equal(await served('something', { 'x-tier': 'gold' }), 'blue');
    assert.equal(await served('something', { 'x-tier': 'golden' }), 'red');
    assert.equal(await served('m-1', { 'x-user': 'a12' }), 'blue');
    assert.equal(await served('m-1', { 'x-user': 'ba12' }), 'red');
    assert.equal(await served('m-1', { 'x-user': 'a12b' }), 'red');
  });
});

describe('a backend', () => {
  it('receives requests in proportion to its weight', async () => {
    for (let index = 0; index < 200; index += 1) {
      await ask('weights');
    }
    assert.equal(red.seen.length + blue.seen.length, 200);
    // 3 in 4, within five standard deviations.
    assert.ok(red.seen.length > 119 && red.seen.length < 181, `${red.seen.length} of 200`);
    for (let index = 0; index < 10; index += 1) {
      assert.equal((await ask('none')).status, 200);
    }
    assert.equal(blue.seen.length, 200 - red.seen.length + 10);
  });

  it('that is cheapest for the request receives it with LeastCost', async () => {
    for (let index = 0; index < 10; index += 1) {
      assert.equal(await served('cost'), 'blue');
    }
  });

  it('that is slow receives few requests with LeastLatency', async () => {
    red.defaults = { delayMs: 100 };
    for (let index = 0; index < 60; index += 1) {
      await ask('latency', {}, { stream: true });
    }
    red.defaults = {};
    assert.equal(red.seen.length + blue.seen.length, 60);
    assert.ok(red.seen.length < 20, `${red.seen.length} of 60`);
  });

  it('of lower priority takes over when the first one fails', async () => {
    const statuses = [];
    for (let index = 0; index < 10; index += 1) {
      statuses.push((await ask('spare')).status);
    }
    assert.ok(
      statuses.slice(4).every((status) => status === 200),
      statuses.join(),
    );
    assert.equal(blue.seen.length, statuses.filter((status) => status === 200).length);
  });

  it('that is unreachable gets 503 in the format of the API', async () => {
    const { status, json } = await ask('gone');
    assert.equal(status, 503);
    assert.equal(json.error.code, 'backend_unavailable');
    const { record } = await gateway.recordOf(() => ask('gone'));
    assert.equal(record.status, 503);
    assert.equal(record.outputTokens ?? 0, 0);
  });

  it('with a path prefix receives it instead of /v1', async () => {
    const { status } = await ask('prefixed');
    assert.equal(status, 200);
    assert.equal(blue.seen.at(-1)?.path, '/proxy/openai/v1/chat/completions');
  });
});

describe('a timeout', () => {
  it('of a request gets 504 in the format of the API, and its cost is charged', async () => {
    const { result, record } = await gateway.recordOf(() => ask('timed', { mock: { tokens: 50, delayMs: 3_000 } }));
    assert.equal(result.status, 504);
    assert.equal(typeof result.json.error.message, 'string');
    assert.ok((record.inputTokens ?? 0) > 0, record.line);
    await waitFor('closed upstream', () => red.seen.at(-1)?.abortedAtMs !== undefined, 1_000);
  });

  it('ends a silent stream', async () => {
    const started = performance.now();
    const answer = await ask(
      'idle',
      { mock: { tokens: 50, paceMs: 10, fail: { when: 'in', how: 'silent', chunks: 10 } } },
      { stream: true },
    );
    assert.equal(answer.complete, false);
    assert.ok(performance.now() - started < 5_000);
    await waitFor('closed upstream', () => red.seen.at(-1)?.abortedAtMs !== undefined, 1_000);
  });
});

describe('the gateway serves', () => {
  it('HTTP/2 clients with responses, streams and aborts', async () => {
    const session = http2.connect(gateway.url);
    const send = (body: unknown, mock: unknown) => {
      const stream = session.request({
        ':method': 'POST',
        ':path': '/v1/chat/completions',
        'content-type': 'application/json',
        'x-mock': JSON.stringify(mock),
      });
      stream.end(JSON.stringify(body));
      stream.on('error', () => {});
      return stream;
    };
    const body = { model: 'something', messages: say('Hello') };
    const read = async (stream: http2.ClientHttp2Stream) => (await stream.toArray()).join('');
    assert.equal(JSON.parse(await read(send(body, { tokens: 5 }))).choices[0].message.content, wordsOf(5));
    assert.ok((await read(send({ ...body, stream: true }, { tokens: 5 }))).endsWith('data: [DONE]\n\n'));
    const leaving = send({ ...body, stream: true }, { tokens: 1_000, paceMs: 5 });
    await new Promise((resolve) => leaving.once('data', resolve));
    leaving.close(http2.constants.NGHTTP2_CANCEL);
    await waitFor('closed upstream', () => red.seen.at(-1)?.abortedAtMs !== undefined, 2_000);
    session.destroy();
  });

  it('a client that waits for 100 Continue', async () => {
    const body = JSON.stringify({ model: 'something', messages: say('word '.repeat(400_000)) });
    const status = await new Promise((resolve, reject) => {
      const request = http.request(`${gateway.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { expect: '100-continue', 'content-type': 'application/json', 'content-length': String(body.length) },
      });
      request.on('continue', () => request.end(body));
      request.on('response', (response) => resolve(response.resume().statusCode));
      request.on('error', reject);
      request.flushHeaders();
    });
    assert.equal(status, 200);
  });

  it('a chunked body with trailers', async () => {
    const status = await new Promise((resolve, reject) => {
      const request = http.request(`${gateway.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', trailer: 'x-checksum', 'x-mock': '{"tokens":2}' },
      });
      request.on('response', (response) => resolve(response.resume().statusCode));
      request.on('error', reject);
      request.write(JSON.stringify({ model: 'something', messages: say('Hello') }));
      request.addTrailers({ 'x-checksum': '1' });
      request.end();
    });
    assert.equal(status, 200);
  });
});
