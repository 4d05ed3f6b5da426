/** Web pages that call the gateway (CORS), and backends that receive the credential of clients. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { say } from './support/clients.ts';
import { startGateway } from './support/gateway.ts';
import { startProvider } from './support/provider.ts';
import { backend, route } from './support/resources.ts';
import { MODEL, rules, startWorld, type World } from './support/world.ts';

const ORIGIN = 'https://chat.example.com';

describe('a route with CORS', () => {
  let world: World;
  before(async () => {
    const cors = { allowOrigins: [ORIGIN, 'https://*.apps.example.com'], exposeHeaders: ['x-request-id'] };
    world = await startWorld([], { cors });
  });
  after(() => world?.stop());

  const preflight = (origin: string) =>
    fetch(`${world.gateway.url}/v1/chat/completions`, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
    });

  it('answers the preflight request of an allowed origin', async () => {
    for (const origin of [ORIGIN, 'https://a.apps.example.com']) {
      const { status, headers } = await preflight(origin);
      assert.equal(status, 200);
      assert.equal(headers.get('access-control-allow-origin'), origin);
      assert.equal(headers.get('access-control-allow-methods'), 'GET, POST');
      assert.match(headers.get('access-control-allow-headers') ?? '', /authorization/);
    }
    assert.equal(world.provider.seen.length, 0);
  });

  it('allows the headers of the official clients by default', async () => {
    const sent = new Set<string>();
    const recordingFetch = async (_: unknown, init: RequestInit = {}): Promise<Response> => {
      new Headers(init.headers).forEach((_value, name) => {
        sent.add(name);
      });
      return Response.json({}, { status: 400 });
    };
    const settings = { apiKey: 'unused', fetch: recordingFetch, dangerouslyAllowBrowser: true, maxRetries: 0 };
    const messages = say('hi');
    await new OpenAI(settings).chat.completions.create({ model: MODEL, messages }).catch(() => undefined);
    const claude = new Anthropic(settings);
    await claude.messages.create({ model: MODEL, max_tokens: 5, messages }).catch(() => undefined);
    const { headers } = await preflight(ORIGIN);
    const allowed = (headers.get('access-control-allow-headers') ?? '').split(', ');
    // Fetch sends these without a preflight request (CORS-safelisted), or sets them itself.
    const safelisted = ['accept', 'user-agent', 'content-length'];
    assert.ok(sent.size > 10);
    assert.deepEqual(
      [...sent].filter((name) => !allowed.includes(name) && !safelisted.includes(name)),
      [],
    );
  });

  it('allows no other origin', async () => {
    const others = ['https://evil.example', 'https://apps.example.com', `${ORIGIN}.evil.example`, 'null'];
    for (const origin of [...others, 'https://evil.example/.apps.example.com', 'http://chat.example.com']) {
      const { headers } = await preflight(origin);
      assert.equal(headers.get('access-control-allow-origin'), null, origin);
    }
  });

  it('lets the page read answers and errors', async () => {
    const ask = (model: string) =>
      fetch(`${world.gateway.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { origin: ORIGIN, 'content-type': 'application/json' },
        body: JSON.stringify({ model, messages: [{ role: 'user', content: 'hi' }], max_tokens: 5 }),
      });
    for (const [model, status] of [
      [MODEL, 200],
      ['unknown', 404],
    ] as const) {
      const answer = await ask(model);
      await answer.text();
      assert.equal(answer.status, status);
      assert.equal(answer.headers.get('access-control-allow-origin'), ORIGIN);
      assert.equal(answer.headers.get('access-control-expose-headers'), 'x-request-id');
    }
  });
});

describe('a backend with the credential of the client', () => {
  it('receives it, but no cookie', async () => {
    const provider = await startProvider();
    const passing = backend('openai', { port: provider.port, more: { credential: { type: 'Passthrough' } } });
    const gateway = await startGateway([passing, route('chat', rules.slice(0, 1))]);
    try {
      await fetch(`${gateway.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: 'Bearer own-key', cookie: 'session=1', 'content-type': 'application/json' },
        body: JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: 'hi' }], max_tokens: 5 }),
      });
      const [seen] = provider.seen;
      assert.equal(seen?.headers['authorization'], 'Bearer own-key');
      assert.equal(seen?.headers['cookie'], undefined);
    } finally {
      await provider.stop();
      await gateway.stop();
    }
  });
});
