/**
 * What access lines report if one side of the gateway fails, and the ids that join client, gateway
 * and provider.
 */
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import { freePorts } from '../../fixtures/free-ports.ts';
import { type CallOptions, call, open } from './support/client.ts';
import { say } from './support/clients.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { backend, route } from './support/resources.ts';
import { waitFor } from './support/wait.ts';

let provider: Provider;
/** Accepts connections and does not speak TLS. */
let plain: net.Server;
let gateway: Gateway;

before(async () => {
  provider = await startProvider();
  plain = net.createServer((socket) => socket.on('error', () => {}).end('no TLS here'));
  await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
  const [deadPort = 0] = await freePorts(1);
  const tls = (hostname: object) => ({ more: { endpoint: { type: 'Hostname', hostname } } });
  gateway = await startGateway([
    backend('mock', { port: provider.port }),
    backend('refused', { port: deadPort }),
    backend('no-tls', { port: 0, ...tls({ name: '127.0.0.1', port: (plain.address() as net.AddressInfo).port }) }),
    backend('no-name', { port: 0, ...tls({ name: 'nowhere.invalid' }) }),
    route('records', [
      { name: 'mock', models: ['mock'], backendRefs: [{ name: 'mock' }] },
      { name: 'short', models: ['short'], backendRefs: [{ name: 'mock' }], more: { timeouts: { request: '400ms' } } },
      { name: 'refused', models: ['refused'], backendRefs: [{ name: 'refused' }] },
      { name: 'no-tls', models: ['no-tls'], backendRefs: [{ name: 'no-tls' }] },
      { name: 'no-name', models: ['no-name'], backendRefs: [{ name: 'no-name' }] },
    ]),
  ]);
});
after(async () => {
  await gateway?.stop();
  await provider?.stop();
  plain?.close();
});

const CHAT = '/v1/chat/completions';

function ask(model: string, options: CallOptions, stream = true) {
  return call(`${gateway.url}${CHAT}`, { model, messages: say('Hello'), stream }, options);
}

async function lineOf(work: () => Promise<unknown>) {
  const { record } = await gateway.recordOf(work);
  return JSON.parse(record.line);
}

async function failures(backendName: string, failure: string): Promise<number> {
  const metrics = await gateway.metrics();
  return metrics.sum('tallygate_backend_failures_total', {
    tallygate_backend: `default/${backendName}`,
    tallygate_failure: failure,
  });
}

describe('the access line records an interruption by', () => {
  for (const stream of [true, false]) {
    for (const how of ['reset', 'close'] as const) {
      it(`the provider (${how}) of ${stream ? 'a stream' : 'JSON'}`, async () => {
        const before = await failures('mock', 'reset');
        const line = await lineOf(() => ask('mock', { mock: { tokens: 500, fail: { when: 'in', how } } }, stream));
        assert.equal(line.clientLeft, undefined, JSON.stringify(line));
        assert.equal(line.backendFailure, 'reset');
        assert.match(line.flags, /UC|UR|UPE/);
        assert.match(line.details, /^upstream_reset/);
        assert.equal(await failures('mock', 'reset'), before + 1);
      });
    }
  }

  it('the client', async () => {
    const line = await lineOf(async () => {
      const opened = await open(
        `${gateway.url}${CHAT}`,
        { model: 'mock', messages: say('Hello'), stream: true },
        { mock: { tokens: 5_000, paceMs: 5 } },
      );
      await waitFor('a token', () => opened.text().includes('content'), 2_000);
      opened.abort();
      await opened.done;
    });
    assert.equal(line.clientLeft, true);
    assert.equal(line.backendFailure, undefined);
  });

  it('timeouts.request in a stream', async () => {
    const line = await lineOf(() => ask('short', { mock: { tokens: 5_000, paceMs: 20 } }));
    assert.equal(line.clientLeft, undefined, JSON.stringify(line));
    assert.equal(line.error, 'timeout');
    assert.equal(line.backendFailure, 'timeout');
    assert.equal(line.flags, 'UT');
  });

  it('different causes for concurrent requests', async () => {
    const broken = Array.from({ length: 40 }, () =>
      ask('mock', { mock: { tokens: 200, paceMs: 2, fail: { when: 'in', how: 'reset', chunks: 20 } } }),
    );
    const whole = Array.from({ length: 40 }, () => ask('mock', { mock: { tokens: 60, paceMs: 2 } }));
    const seen = gateway.records.length;
    await Promise.all([...broken, ...whole]);
    await waitFor('records', () => gateway.records.length >= seen + 80, 5_000);
    const lines = gateway.records.slice(seen).map(({ line }) => JSON.parse(line));
    assert.equal(lines.filter(({ backendFailure }) => backendFailure === 'reset').length, 40);
    assert.equal(lines.filter(({ clientLeft }) => clientLeft).length, 0);
  });
});

describe('an unreachable backend', () => {
  for (const [name, failure, details] of [
    ['refused', 'connect', /connection_failure.*refused/i],
    ['no-tls', 'tls', /WRONG_VERSION_NUMBER|TLS/],
    ['no-name', 'address', /no_healthy_upstream|dns/],
  ] as const) {
    it(`has its cause in the access line and not in the response (${name})`, async () => {
      let headers: object = {};
      const line = await lineOf(async () => {
        const answer = await ask(name, {}, false);
        assert.equal(answer.status, 503);
        assert.equal(answer.json.error.code, 'backend_unavailable');
        headers = answer.headers;
      });
      assert.deepEqual(
        Object.keys(headers).filter((one) => one.startsWith('x-tallygate')),
        [],
      );
      assert.equal(line.error, 'backend_unavailable');
      assert.equal(line.backendFailure, failure, JSON.stringify(line));
      assert.match(`${line.details} ${line.transportFailure}`, details);
      assert.ok((await failures(name, failure)) >= 1);
    });
  }
});

describe('the gateway’s count beside the provider’s', () => {
  for (const stream of [true, false]) {
    it(`is made for one response per second, ${stream ? 'streams' : 'JSON'}`, async () => {
      const line = await waitFor(
        'a line with both counts',
        async () => {
          const one = await lineOf(() => ask('mock', { mock: { tokens: 60, usage: 'Always' } }, stream));
          return one.estimatedOutputTokens !== undefined && one;
        },
        5_000,
      );
      assert.equal(line.source, 'provider');
      assert.equal(line.estimatedOutputTokens, line.tokens.output);
      const counted = async () => (await gateway.metrics()).sum('tallygate_tokens_drift_count');
      const [before, startedMs] = [await counted(), performance.now()];
      await Promise.all(Array.from({ length: 100 }, () => ask('mock', { mock: { tokens: 20 } }, stream)));
      const most = 1 + Math.ceil((performance.now() - startedMs) / 1_000);
      assert.ok((await counted()) - before <= most, `${(await counted()) - before} of 100`);
    });
  }
});

describe('ids', () => {
  it('a client without an id gets one, and the provider gets the same', async () => {
    let answer: Awaited<ReturnType<typeof ask>> | undefined;
    const line = await lineOf(async () => {
      answer = await ask('mock', { mock: { tokens: 2 } }, false);
    });
    const id = answer?.headers['x-request-id'];
    assert.match(String(id), /^[\da-f-]{36}$/);
    assert.equal(line.requestId, id);
    assert.equal(provider.seen.at(-1)?.headers['x-request-id'], id);
    assert.match(line.providerRequestId, /^mock-\d+$/);
  });

  it('Anthropic’s request-id is recorded and passes', async () => {
    const line = await lineOf(async () => {
      const { headers } = await ask('mock', {
        mock: { tokens: 2, headers: { 'x-request-id': '', 'request-id': 'req_1' } },
      });
      assert.equal(headers['request-id'], 'req_1');
    });
    assert.equal(line.providerRequestId, 'req_1');
  });

  for (const id of ['0190163d-8694-739b-aea5-966c26f8ad91', 'job/17:step.3', 'x'.repeat(128)]) {
    it(`a client’s id is kept: ${id.slice(0, 40)}`, async () => {
      const line = await lineOf(async () => {
        const { headers } = await ask('mock', { mock: { tokens: 2 }, headers: { 'x-request-id': id } });
        assert.equal(headers['x-request-id'], id);
      });
      assert.equal(line.requestId, id);
      assert.equal(provider.seen.at(-1)?.headers['x-request-id'], id);
    });
  }

  for (const id of ['x'.repeat(129), 'two words', '"}{"a":1', 'a,b']) {
    it(`an invalid id is replaced: ${id.slice(0, 40)}`, async () => {
      let answer: Awaited<ReturnType<typeof ask>> | undefined;
      const line = await lineOf(async () => {
        answer = await ask('mock', { mock: { tokens: 2 }, headers: { 'x-request-id': id } });
      });
      const given = answer?.headers['x-request-id'];
      assert.ok(given !== undefined && given !== id);
      assert.equal(line.requestId, given);
      assert.equal(provider.seen.at(-1)?.headers['x-request-id'], given);
    });
  }

  it('refusals and the list of models have an id too', async () => {
    for (const path of [CHAT, '/v1/models', '/nothing']) {
      const headers = { 'x-request-id': 'mine' };
      const body = path === CHAT ? { model: 'unknown', messages: [] } : undefined;
      const answer = await call(`${gateway.url}${path}`, body, { headers });
      assert.equal(answer.headers['x-request-id'], 'mine', path);
    }
  });
});
