/** Requests that try to pass beside an access policy, by how they are written on the wire. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Gateway, startGateway } from './support/gateway.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { rawCall } from './support/raw-client.ts';
import { type Document, route } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { backends, MODEL, rules } from './support/world.ts';

const KEY = 'tg-bypass-00000000000000000';
const BODY = JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: 'Hi' }], max_tokens: 5 });

const policy: Document = {
  apiVersion: 'tallygate.dev/v1alpha1',
  kind: 'AIAccessPolicy',
  metadata: { name: 'internal', namespace: 'default' },
  spec: {
    targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'ai' }],
    authenticate: [{ name: 'keys', type: 'APIKey', apiKey: { secretSelector: { matchLabels: {} } } }],
    allow: [{ name: 'chat', principals: [{ authenticated: true }], endpoints: ['chat'] }],
  },
};
const secret: Document = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'key', namespace: 'default', labels: { 'tallygate.dev/api-key': 'true' } },
  stringData: { apiKey: KEY },
};

describe('beside an access policy', () => {
  let provider: Provider;
  let gateway: Gateway;

  before(async () => {
    provider = await startProvider();
    const passthrough = ['GET', 'POST', 'PUT', 'DELETE'].map((method) => ({ method, path: '/v1/files*' }));
    gateway = await startGateway([...backends(provider.port), route('chat', rules, { passthrough }), policy, secret]);
  });
  after(async () => {
    await provider?.stop();
    await gateway?.stop();
  });

  /** Returns the values of the route header that lead to a backend. */
  function targetIds(): readonly string[] {
    const files = readdirSync(gateway.folder, { recursive: true, encoding: 'utf8' });
    const routes = files.filter((name) => /route-[^/]*$/.test(name));
    const text = routes.map((name) => readFileSync(join(gateway.folder, name), 'utf8')).join();
    return [...new Set([...text.matchAll(/"exact":\s*"(default\/chat\/[^"]+)"/g)].map(([, id]) => id!))];
  }

  /** Sends a request as it is, and returns the status of the response; 0: the connection closed. */
  async function send(text: string): Promise<number> {
    const raw = await rawCall(gateway.port);
    await raw.write(text);
    let closed = false;
    void raw.closed.then(() => {
      closed = true;
    });
    await waitFor('an answer', () => closed || /^HTTP\/1\.\d \d{3}/.test(raw.text()));
    raw.socket.destroy();
    return Number(raw.text().match(/^HTTP\/1\.\d (\d{3})/)?.[1] ?? 0);
  }

  const lines = (line: string, more: readonly string[] = [], body = BODY) =>
    [line, 'content-type: application/json', `content-length: ${body.length}`, ...more, '', body].join('\r\n');
  const host = 'host: localhost';

  it('no spelling of path, method and version lets a request without a credential pass', async () => {
    const authority = `127.0.0.1:${gateway.port}`;
    const requests = [
      ['POST /v1/chat/completions HTTP/1.0'],
      ['POST /v1/chat/completions HTTP/1.0', host],
      ['POST /v1/chat/completions HTTP/1.1'],
      [`POST http://${authority}/v1/chat/completions HTTP/1.1`, host],
      ['POST http://other.example/v1/chat/completions HTTP/1.1', host],
      ['POST //v1//chat/completions HTTP/1.1', host],
      ['POST /v1/files/../chat/completions HTTP/1.1', host],
      ['POST /v1/files/%2e%2e/chat/completions HTTP/1.1', host],
      ['POST /v1/files/..%2fchat/completions HTTP/1.1', host],
      ['POST /v1/chat/completions? HTTP/1.1', host],
      ['POST /v1/chat/completions#x HTTP/1.1', host],
      ['POST /v1/files HTTP/1.1', host],
      ['HEAD /v1/files HTTP/1.1', host],
      ['PUT /v1/files/a HTTP/1.1', host],
      ['OPTIONS /v1/files HTTP/1.1', host, 'origin: http://a', 'access-control-request-method: POST'],
      ['OPTIONS * HTTP/1.1', host],
      ['TRACE /v1/files HTTP/1.1', host],
      [`CONNECT ${authority} HTTP/1.1`, host],
      ['GET /v1/files HTTP/1.1', host, 'connection: upgrade', 'upgrade: websocket', 'sec-websocket-version: 13'],
      ['GET /v1/models HTTP/1.1', host],
      ['GET /v1/models/gpt-4o-mini HTTP/1.1', host],
      ['GET /v1/quota HTTP/1.1', host],
      ['POST /.well-known/tallygate HTTP/1.1', host],
      ['GET /.well-known/tallygate/../../v1/files HTTP/1.1', host],
    ] as const;
    for (const [line, ...more] of requests) {
      const status = await send(lines(line, more));
      assert.ok(status === 0 || status >= 400, `${line}: ${status}`);
    }
    assert.deepEqual(provider.seen, []);
  });

  it('no header of a client selects a backend or an identity', async () => {
    const ids = targetIds();
    assert.ok(ids.length >= 4, ids.join());
    const forged = ids.flatMap((id) => [
      `x-tallygate-route: ${id}`,
      `X-TALLYGATE-ROUTE: ${id}`,
      `x_tallygate_route: ${id}`,
      `x-tallygate-route: x\r\nx-tallygate-route: ${id}`,
      `connection: x-tallygate-route\r\nx-tallygate-route: ${id}`,
    ]);
    const identities = [
      `x_api_key: ${KEY}`,
      `authorization : Bearer ${KEY}`,
      `proxy-authorization: Bearer ${KEY}`,
      `cookie: authorization=Bearer ${KEY}; tallygate-id-token=${KEY}`,
      'x-tallygate-tenant: search',
      'x-forwarded-client-cert: By=a;Subject="CN=a";URI=spiffe://a',
      'x-envoy-original-path: /v1/files',
      'x-envoy-internal: true',
      'x-forwarded-for: 127.0.0.1',
    ];
    for (const header of [...forged, ...identities]) {
      for (const line of ['POST /v1/chat/completions HTTP/1.1', 'POST /v1/files HTTP/1.1']) {
        const status = await send(lines(line, [host, header]));
        assert.ok(status === 401 || status === 400, `${line} with ${header}: ${status}`);
      }
    }
    assert.deepEqual(provider.seen, []);
  });

  it('a caller of one endpoint reaches no other one by another spelling', async () => {
    const key = `authorization: Bearer ${KEY}`;
    const [id = ''] = targetIds();
    const requests = [
      ['POST /v1/files/x HTTP/1.1', host],
      ['POST /v1/embeddings HTTP/1.1', host],
      ['POST /v1//embeddings HTTP/1.1', host],
      ['POST /v1/chat/../embeddings HTTP/1.1', host],
      ['POST /v1/files HTTP/1.1', host, `x-tallygate-route: ${id}`],
      ['POST /v1/chat/completions/ HTTP/1.1', host],
      ['POST /v1/files/..%2fchat/completions HTTP/1.1', host],
      ['GET /v1/chat/completions HTTP/1.1', host],
    ] as const;
    for (const [line, ...more] of requests) {
      const status = await send(lines(line, [...more, key]));
      assert.ok(status === 403 || status === 404, `${line}: ${status}`);
    }
    assert.deepEqual(provider.seen, []);
    assert.equal(await send(lines('POST /v1/chat/completions HTTP/1.1', [host, key])), 200);
    assert.ok(!JSON.stringify(provider.seen).includes(KEY));
  });
});
