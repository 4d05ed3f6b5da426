import assert from 'node:assert/strict';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { ConsoleApi } from './api.ts';
import { consoleHandler } from './server.ts';
import type { ConsoleSource, Identification } from './source.ts';
import { isVisible, isVisibleBudget, parseOperators, type Viewer } from './viewer.ts';

const viewers: Viewer[] = [];
const stops: string[] = [];
let isOpen = true;
let isAway = false;

const callers: Readonly<Record<string, Identification>> = {
  'Bearer red': { type: 'caller', tenant: 'red', user: 'ada', groups: [] },
  'Bearer ops': { type: 'caller', tenant: 'ops', user: 'eve', groups: ['platform'] },
};

function noted(viewer: Viewer) {
  viewers.push(viewer);
  return Promise.resolve({ rows: [], total: 0 });
}

const source: ConsoleSource = {
  async identify({ authorization = '' }) {
    if (isAway) {
      throw new Error('connect ENOENT /secret/path');
    }
    const refused = { type: 'refused', status: 401, message: 'The credential is not valid.' } as const;
    return isOpen ? { type: 'open' } : (callers[authorization] ?? refused);
  },
  usage: (query, viewer) => noted(Object.assign({ query }, viewer)),
  budgets: noted,
  streams: noted,
  refusals: noted,
  requests: (_id, viewer) => noted(viewer),
  backends: noted,
  async stop(id, by) {
    stops.push(`${id} ${by}`);
    return 'stopped';
  },
};

let server: Server;
before(async () => {
  const operators = parseOperators('tenant=ops&group=platform') ?? [];
  const onError = () => {};
  const api = new ConsoleApi({ source, operators, onError });
  const handle = consoleHandler({ answer: (asked) => api.answer(asked), onError });
  server = createServer((incoming, response) => {
    if (!handle(incoming, response)) {
      response.writeHead(418).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
after(() => server.close());

interface Sent {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

function ask(path: string, { method = 'GET', headers = {} }: Sent = {}) {
  const { port } = server.address() as AddressInfo;
  return new Promise<{ status: number; headers: Readonly<Record<string, unknown>>; text: string }>(
    (resolve, reject) => {
      const sent = request({ port, host: '127.0.0.1', path, method, headers, agent: false }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part) => (text += part));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
      });
      sent.on('error', reject).end();
    },
  );
}

const authorization = (who: string) => ({ headers: { authorization: `Bearer ${who}` } });
const json = { 'content-type': 'application/json' };

test('without an access policy, somebody on this machine is an operator', async () => {
  isOpen = true;
  const { status, text, headers } = await ask('/console/api/me');
  assert.deepEqual([status, JSON.parse(text)], [200, { operator: true, signedIn: false, name: 'local operator' }]);
  assert.equal(headers['cache-control'], 'no-store');
});

test('without an access policy, nobody else is served', async () => {
  isOpen = true;
  const { port } = server.address() as AddressInfo;
  for (const headers of [
    // A name of the attacker that resolves to this machine.
    { host: `evil.example:${port}` },
    { host: 'localhost.evil.example' },
    { host: `127.0.0.1.evil.example:${port}` },
    // A proxy on this machine serves the network.
    { 'x-forwarded-for': '192.0.2.1' },
    { forwarded: 'for=192.0.2.1' },
    { via: '1.1 proxy' },
  ]) {
    const answer = await ask('/console/api/streams', { headers });
    assert.equal(answer.status, 403, JSON.stringify(headers));
    assert.match(answer.text, /No AIAccessPolicy is in force/);
  }
});

test('a page of another origin reads nothing and stops nothing', async () => {
  isOpen = true;
  stops.length = 0;
  for (const headers of [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: 'http://127.0.0.1:1' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ]) {
    assert.equal((await ask('/console/api/me', { headers })).status, 403, JSON.stringify(headers));
    const stop = { method: 'POST', headers: { ...headers, ...json } };
    assert.equal((await ask('/console/api/streams/a-1/stop', stop)).status, 403);
  }
  for (const type of [{}, { 'content-type': 'text/plain' }, { 'content-type': 'application/x-www-form-urlencoded' }]) {
    assert.equal((await ask('/console/api/streams/a-1/stop', { method: 'POST', headers: type })).status, 403);
  }
  assert.deepEqual(stops, []);
});

test('with an access policy, a viewer without a valid credential gets 401', async () => {
  isOpen = false;
  for (const sent of [{}, authorization('blue')]) {
    const { status, text, headers } = await ask('/console/api/streams', sent);
    assert.deepEqual([status, headers['www-authenticate']], [401, 'Bearer']);
    assert.equal(JSON.parse(text).error.message, 'The credential is not valid.');
  }
});

test('a caller is asked for with its own tenant, whatever it sends', async () => {
  isOpen = false;
  viewers.length = 0;
  for (const call of ['usage?by=day', 'budgets', 'streams', 'refusals', 'requests?id=r1', 'backends']) {
    const [path, query] = [call.split('?')[0], 'tenant=ops&operator=true&user=eve'];
    const sent = { headers: { ...authorization('red').headers, 'x-tenant': 'ops' } };
    const { status } = await ask(`/console/api/${path}?${call.split('?')[1] ?? ''}&${query}`, sent);
    assert.equal(status, 200, call);
  }
  assert.equal(viewers.length, 6);
  for (const { operator, tenant, user } of viewers) {
    assert.deepEqual({ operator, tenant, user }, { operator: false, tenant: 'red', user: 'ada' });
  }
});

test('nobody reads what a shared store has of other gateways on one machine', async () => {
  isOpen = false;
  viewers.length = 0;
  for (const call of ['usage?of=shared', 'requests?id=r1&of=shared', 'usage?of=unshared', 'usage?of=']) {
    assert.equal((await ask(`/console/api/${call}`, authorization('ops'))).status, 400, call);
  }
  assert.deepEqual(viewers, []);
});

test('only operators stop requests, under their own name', async () => {
  isOpen = false;
  stops.length = 0;
  const post = (who: string) => ({ method: 'POST', headers: { ...authorization(who).headers, ...json } });
  assert.equal((await ask('/console/api/streams/a-1/stop?by=eve', post('red'))).status, 403);
  assert.equal((await ask('/console/api/streams/a-1/stop', authorization('ops'))).status, 404);
  assert.equal((await ask('/console/api/streams/a-1/stop?by=ada', post('ops'))).text, '{"outcome":"stopped"}\n');
  assert.deepEqual(stops, ['a-1 ops/eve']);
});

test('a wrong query names the field, and unknown calls are 404', async () => {
  isOpen = true;
  assert.match((await ask('/console/api/usage?by=tenant,__proto__')).text, /by has no \\"__proto__\\"/);
  assert.match((await ask('/console/api/usage?since=yesterday')).text, /since and until are times/);
  assert.equal((await ask('/console/api/secrets')).status, 404);
  assert.equal((await ask('/console/api/streams/../../me')).status, 404);
  assert.equal((await ask('/metrics')).status, 418);
});

test('a gateway process that is away is a 503 without its details', async () => {
  isAway = true;
  const { status, text } = await ask('/console/api/me');
  isAway = false;
  assert.equal(status, 503);
  assert.doesNotMatch(text, /secret/);
});

test('the page has its files and no others, and runs only its own scripts', async () => {
  const page = await ask('/console/');
  assert.equal(page.status, 200);
  const policy = String(page.headers['content-security-policy']);
  assert.match(policy, /^default-src 'none'; script-src 'self' 'sha256-[\w+/=]{44}'; /);
  assert.doesNotMatch(policy, /unsafe|https?:|\*/);
  const module = await ask('/console/app.ts', { headers: { 'accept-encoding': 'identity' } });
  assert.match(String(module.headers['content-type']), /^text\/javascript/);
  assert.doesNotMatch(module.text, /import type|interface Me/);
  for (const name of ['preact.js', 'preact-hooks.js', 'uplot.js', 'uplot.css', 'style.css', 'icon.svg']) {
    assert.equal((await ask(`/console/${name}`)).status, 200, name);
  }
  for (const name of ['tsconfig.json', 'spend-series.test.ts', '../api/api.ts', '%2e%2e/api/api.ts', '__proto__']) {
    assert.equal((await ask(`/console/${name}`)).status, 404, name);
  }
  assert.equal((await ask('/console')).headers['location'], '/console/');
});

test('a row is visible to its tenant, and without a tenant to its user or key', () => {
  const red: Viewer = { operator: false, tenant: 'red', user: 'ada' };
  assert.ok(isVisible({ tenant: 'red', user: 'bob' }, red));
  assert.ok(!isVisible({ tenant: 'blue', user: 'ada' }, red));
  assert.ok(!isVisible({ user: 'ada' }, red));
  assert.ok(!isVisible({}, { operator: false }));
  assert.ok(isVisible({ user: 'ada' }, { operator: false, user: 'ada' }));
  assert.ok(!isVisible({ tenant: 'red', user: 'ada' }, { operator: false, user: 'ada' }));
  const budget = (keyNames: readonly string[], key: readonly string[]) => isVisibleBudget({ key, keyNames }, red);
  assert.ok(budget(['Model', 'Tenant'], ['gpt', 'red']));
  assert.ok(budget(['User'], ['ada']));
  assert.ok(!budget(['Tenant', 'User'], ['blue', 'ada']));
  assert.ok(!budget(['Header x-tenant'], ['red']));
  assert.ok(!budget([], []));
});

test('operators are read from pairs, and a mistake is refused', () => {
  assert.deepEqual(parseOperators('group=platform, tenant=ops&user=ada%40example.com'), [
    { group: 'platform' },
    { tenant: 'ops', user: 'ada@example.com' },
  ]);
  assert.deepEqual(parseOperators(''), []);
  for (const text of ['platform', 'groups=x', 'group=', 'tenant=a&role=b']) {
    assert.equal(parseOperators(text), undefined, text);
  }
});
