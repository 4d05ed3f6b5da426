import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, test } from 'node:test';
import { type KeySource, keySourceId } from '../contract/public-keys.ts';
import type { DestinationGuard } from '../runtime/guarded-request.ts';
import { type KeptKeys, KeyFetcher, type KeyFetcherOptions, type KeyIntervals } from './key-fetcher.ts';

const jwk = (kid: string) => ({
  ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' }),
  kid,
});
const first = jwk('first');
const second = jwk('second');

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

const closing: (() => unknown)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

interface Issuer {
  readonly origin: string;
  readonly port: number;
  readonly byKeySet: KeySource;
  readonly byDiscovery: KeySource;
  /** Paths of the requests. */
  readonly requests: string[];
  answers: Readonly<Record<string, Answer>>;
  stop(): Promise<void>;
}

const json =
  (value: unknown, headers: Readonly<Record<string, string>> = {}): Answer =>
  (_, response) =>
    response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));

async function startIssuer(port = 0): Promise<Issuer> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(request.url ?? '');
    const answer = issuer.answers[request.url ?? ''];
    if (answer === undefined) {
      response.writeHead(404).end();
    } else {
      answer(request, response);
    }
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const bound = (server.address() as AddressInfo).port;
  const origin = `http://127.0.0.1:${bound}`;
  const stop = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  closing.push(stop);
  const issuer: Issuer = {
    origin,
    port: bound,
    byKeySet: { type: 'URI', url: `${origin}/jwks` },
    byDiscovery: { type: 'Discovery', url: `${origin}/.well-known/openid-configuration`, issuer: origin },
    requests,
    answers: {
      '/jwks': json({ keys: [first] }),
      '/.well-known/openid-configuration': json({ issuer: origin, jwks_uri: `${origin}/jwks` }),
    },
    stop,
  };
  return issuer;
}

interface Fixture {
  readonly fetcher: KeyFetcher;
  readonly logs: string[];
  changes: number;
}

const open: DestinationGuard = {
  allowsPlainHttp: () => true,
  refusal: () => undefined,
  linkRefusal: () => undefined,
};

const quick: KeyIntervals = {
  refreshMs: 60_000,
  minRefreshMs: 20,
  maxRefreshMs: 60_000,
  minRetryMs: 10,
  maxRetryMs: 40,
  refetchMs: 300,
  timeoutMs: 2000,
};

function start(
  sources: readonly KeySource[],
  intervals: Partial<KeyIntervals> = {},
  more: Partial<KeyFetcherOptions> = {},
): Fixture {
  const logs: string[] = [];
  const note = (_: object, message: string) => logs.push(message);
  const fixture: Fixture = {
    fetcher: new KeyFetcher({
      guard: open,
      changed: () => {
        fixture.changes++;
      },
      log: { debug: note, info: note, warn: note, error: note },
      intervals: { ...quick, ...intervals },
      ...more,
    }),
    logs,
    changes: 0,
  };
  closing.push(() => fixture.fetcher.close());
  fixture.fetcher.want(sources);
  return fixture;
}

async function until(holds: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (holds()) {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail(what);
}

const kids = ({ fetcher }: Fixture, source: KeySource) => fetcher.state(source)?.keys?.map(({ kid }) => kid);
const failureOf = ({ fetcher }: Fixture, source: KeySource) => fetcher.state(source)?.failure;

test('keys come from a key set and from a discovery document', async () => {
  const issuer = await startIssuer();
  const fixture = start([issuer.byKeySet, issuer.byDiscovery]);
  for (const source of [issuer.byKeySet, issuer.byDiscovery]) {
    await until(() => kids(fixture, source)?.join() === 'first', 'fetched');
  }
  assert.equal(fixture.changes, 2);
  assert.deepEqual(fixture.logs, ['keys fetched', 'keys fetched']);
});

test('a discovery document also names where browsers log in; other schemes than http are left out', async () => {
  const issuer = await startIssuer();
  const [authorization, token] = [`${issuer.origin}/auth`, `${issuer.origin}/token`];
  const document = { issuer: issuer.origin, jwks_uri: `${issuer.origin}/jwks`, end_session_endpoint: 'javascript:a' };
  issuer.answers = {
    ...issuer.answers,
    '/.well-known/openid-configuration': json({
      ...document,
      authorization_endpoint: authorization,
      token_endpoint: token,
    }),
  };
  const fixture = start([issuer.byDiscovery]);
  await until(() => kids(fixture, issuer.byDiscovery)?.join() === 'first', 'fetched');
  assert.deepEqual(fixture.fetcher.state(issuer.byDiscovery)?.endpoints, { authorization, token });
});

test('no browser logs in at an issuer whose token endpoint is at a refused destination', async () => {
  const issuer = await startIssuer();
  const guard: DestinationGuard = {
    allowsPlainHttp: (host) => host === '127.0.0.1',
    refusal: (host) => (host === '169.254.169.254' ? 'a metadata service' : undefined),
    linkRefusal: (host) => (host === 'other.tenant.svc' ? 'a Service' : undefined),
  };
  for (const token of ['http://id.example.org/t', 'https://169.254.169.254/t', 'https://other.tenant.svc/t']) {
    issuer.answers = {
      ...issuer.answers,
      '/.well-known/openid-configuration': json({
        issuer: issuer.origin,
        jwks_uri: `${issuer.origin}/jwks`,
        authorization_endpoint: `${issuer.origin}/auth`,
        token_endpoint: token,
      }),
    };
    const fixture = start([issuer.byDiscovery], {}, { guard });
    await until(() => kids(fixture, issuer.byDiscovery)?.join() === 'first', 'fetched');
    assert.equal(fixture.fetcher.state(issuer.byDiscovery)?.endpoints, undefined, token);
  }
});

test('an issuer that starts later is found', async () => {
  const absent = await startIssuer();
  await absent.stop();
  const fixture = start([absent.byDiscovery]);
  await until(() => failureOf(fixture, absent.byDiscovery) !== undefined, 'failed');
  assert.match(failureOf(fixture, absent.byDiscovery)!, /ECONNREFUSED/);
  assert.equal(kids(fixture, absent.byDiscovery), undefined);
  assert.match(fixture.fetcher.results().get(keySourceId(absent.byDiscovery))?.failure ?? '', /ECONNREFUSED/);
  await startIssuer(absent.port);
  await until(() => kids(fixture, absent.byDiscovery)?.join() === 'first', 'fetched');
  assert.equal(failureOf(fixture, absent.byDiscovery), undefined);
});

test('during an outage the last keys stay, and the log names it once', async () => {
  const issuer = await startIssuer();
  issuer.answers = { '/jwks': json({ keys: [first] }, { 'cache-control': 'max-age=0' }) };
  const fixture = start([issuer.byKeySet]);
  await until(() => kids(fixture, issuer.byKeySet)?.join() === 'first', 'fetched');
  issuer.answers = { '/jwks': (_, response) => response.writeHead(503).end() };
  const before = issuer.requests.length;
  await until(() => issuer.requests.length > before + 5, 'retried');
  assert.deepEqual(kids(fixture, issuer.byKeySet), ['first']);
  assert.equal(failureOf(fixture, issuer.byKeySet), 'the server answers with status 503');
  issuer.answers = { '/jwks': json({ keys: [second] }) };
  await until(() => kids(fixture, issuer.byKeySet)?.join() === 'second', 'fetched again');
  assert.deepEqual(fixture.logs, ['keys fetched', 'keys not fetched; retrying', 'keys fetched']);
});

test('retries back off', async () => {
  const issuer = await startIssuer();
  issuer.answers = {};
  start([issuer.byKeySet], { minRetryMs: 50, maxRetryMs: 60_000 });
  await new Promise((resolve) => setTimeout(resolve, 700));
  assert.ok(issuer.requests.length >= 3 && issuer.requests.length <= 6, `${issuer.requests.length} requests`);
});

test('keys are fetched again when the server says so, within bounds', async () => {
  const issuer = await startIssuer();
  const rotating: KeySource = { type: 'URI', url: `${issuer.origin}/rotating` };
  issuer.answers = {
    ...issuer.answers,
    '/rotating': json({ keys: [first] }, { 'cache-control': 'public, max-age=0' }),
    '/jwks': json({ keys: [first] }, { 'cache-control': 'max-age=100000' }),
  };
  const fixture = start([rotating, issuer.byKeySet], { maxRefreshMs: 200 });
  await until(() => kids(fixture, rotating)?.join() === 'first', 'fetched');
  issuer.answers = { ...issuer.answers, '/rotating': json({ keys: [second] }), '/jwks': json({ keys: [second] }) };
  await until(() => kids(fixture, rotating)?.join() === 'second', 'the new key');
  await until(() => kids(fixture, issuer.byKeySet)?.join() === 'second', 'at the maximum');
});

test('a flood of unknown keys causes one attempt per interval', async () => {
  const issuer = await startIssuer();
  const fixture = start([issuer.byKeySet]);
  await until(() => kids(fixture, issuer.byKeySet)?.join() === 'first', 'fetched');
  issuer.answers = { '/jwks': json({ keys: [first, second] }) };
  const startedMs = performance.now();
  while (performance.now() - startedMs < 1000) {
    for (let i = 0; i < 1000; i++) {
      fixture.fetcher.refetch(issuer.byKeySet.url);
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.deepEqual(kids(fixture, issuer.byKeySet), ['first', 'second'], 'the rotated key arrived');
  assert.ok(issuer.requests.length >= 2 && issuer.requests.length <= 5, `${issuer.requests.length} requests`);
});

test('issuers that do not answer do not delay the keys of others', async () => {
  const [issuer, tarpit] = [await startIssuer(), await startIssuer()];
  const fixture = start([issuer.byKeySet], { timeoutMs: 60_000, refetchMs: 0 });
  await until(() => kids(fixture, issuer.byKeySet)?.join() === 'first', 'fetched');
  const urls = Array.from({ length: 20 }, (_, index) => `/silent-${index}`);
  tarpit.answers = Object.fromEntries(urls.map((url) => [url, () => {}]));
  const silent = urls.map((url): KeySource => ({ type: 'URI', url: `${tarpit.origin}${url}` }));
  fixture.fetcher.want([...silent, issuer.byKeySet]);
  await until(() => tarpit.requests.length >= 8, 'tried');
  issuer.answers = { '/jwks': json({ keys: [second] }) };
  fixture.fetcher.refetch(issuer.byKeySet.url);
  await until(() => kids(fixture, issuer.byKeySet)?.join() === 'second', 'fetched again');
});

test('new sources do not displace those in use', async () => {
  const issuer = await startIssuer();
  const { fetcher } = start([issuer.byKeySet]);
  const many = Array.from({ length: 1001 }, (_, index): KeySource => ({ type: 'URI', url: `http://a/${index}` }));
  fetcher.want([...many, issuer.byKeySet]);
  assert.equal(fetcher.states().length, 1000);
  assert.ok(fetcher.state(issuer.byKeySet) !== undefined);
});

test('a refetch of a URL that no policy names does nothing', async () => {
  const issuer = await startIssuer();
  const fixture = start([]);
  fixture.fetcher.refetch(issuer.byKeySet.url);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(issuer.requests, []);
});

test('a start waits until each source was tried, and not longer than its deadline', async () => {
  const issuer = await startIssuer();
  const { fetcher } = start([issuer.byKeySet]);
  await fetcher.tried(5000);
  assert.equal(fetcher.results().get(issuer.byKeySet.url)?.keys.length, 1);
  issuer.answers = { '/slow': () => {} };
  const slow: KeySource = { type: 'URI', url: `${issuer.origin}/slow` };
  fetcher.want([issuer.byKeySet, slow]);
  const startedMs = performance.now();
  await fetcher.tried(200);
  assert.ok(performance.now() - startedMs >= 190);
  assert.equal(fetcher.results().has(slow.url), false);
});

test('a source that is no longer wanted is dropped', async () => {
  const issuer = await startIssuer();
  const fixture = start([issuer.byKeySet, issuer.byDiscovery]);
  await until(() => kids(fixture, issuer.byKeySet)?.join() === 'first', 'fetched');
  fixture.fetcher.want([issuer.byDiscovery]);
  assert.equal(fixture.fetcher.state(issuer.byKeySet), undefined);
  assert.equal(fixture.fetcher.states().length, 1);
});

test('an empty key set withdraws the keys', async () => {
  const issuer = await startIssuer();
  issuer.answers = { '/jwks': json({ keys: [first] }, { 'cache-control': 'no-store' }) };
  const fixture = start([issuer.byKeySet]);
  await until(() => kids(fixture, issuer.byKeySet)?.join() === 'first', 'fetched');
  issuer.answers = { '/jwks': json({ keys: [] }) };
  await until(() => kids(fixture, issuer.byKeySet)?.length === 0, 'withdrawn');
  assert.match(failureOf(fixture, issuer.byKeySet)!, /no public key/);
});

test('keys survive a restart while the issuer is away', async () => {
  const issuer = await startIssuer();
  let kept: readonly KeptKeys[] = [];
  const keep = (now: readonly KeptKeys[]) => {
    kept = now;
  };
  const before = start([issuer.byDiscovery], {}, { keep });
  await until(() => kids(before, issuer.byDiscovery)?.join() === 'first', 'fetched');
  before.fetcher.close();
  await issuer.stop();
  const after = start([]);
  after.fetcher.restore(JSON.parse(JSON.stringify(kept)));
  const result = after.fetcher.results().get(keySourceId(issuer.byDiscovery));
  assert.deepEqual(
    result?.keys.map(({ kid }) => kid),
    ['first'],
    'before a policy wants them',
  );
  after.fetcher.want([issuer.byDiscovery]);
  assert.deepEqual(kids(after, issuer.byDiscovery), ['first']);
  await until(() => failureOf(after, issuer.byDiscovery) !== undefined, 'failed');
  assert.deepEqual(kids(after, issuer.byDiscovery), ['first']);
});

const faults: readonly (readonly [title: string, failure: RegExp, answers: (issuer: Issuer) => Issuer['answers']])[] = [
  [
    'a discovery document of another issuer',
    /of another issuer/,
    ({ origin }) => ({
      '/.well-known/openid-configuration': json({ issuer: `${origin}/other`, jwks_uri: `${origin}/jwks` }),
      '/jwks': json({ keys: [first] }),
    }),
  ],
  [
    'a discovery document without jwks_uri',
    /no jwks_uri/,
    ({ origin }) => ({ '/.well-known/openid-configuration': json({ issuer: origin }) }),
  ],
  [
    'a jwks_uri with another scheme',
    /must start with https/,
    ({ origin }) => ({ '/.well-known/openid-configuration': json({ issuer: origin, jwks_uri: 'file:///etc/passwd' }) }),
  ],
  [
    'an answer that is too long',
    /exceeds 262144 bytes/,
    ({ answers }) => ({ ...answers, '/jwks': json({ keys: [first], padding: 'a'.repeat(300_000) }) }),
  ],
  [
    'a redirect to another origin',
    /redirects to another origin/,
    ({ answers, port }) => ({
      ...answers,
      '/jwks': (_, response) => response.writeHead(302, { location: `http://localhost:${port}/real` }).end(),
      '/real': json({ keys: [first] }),
    }),
  ],
  [
    'a redirect without an end',
    /more than 3 times/,
    ({ answers }) => ({ ...answers, '/jwks': (_, response) => response.writeHead(302, { location: '/jwks' }).end() }),
  ],
  [
    'an answer that is not JSON',
    /not JSON/,
    ({ answers }) => ({ ...answers, '/jwks': (_, response) => response.end('<html>') }),
  ],
  ['an answer that is not a key set', /not a JSON Web Key Set/, ({ answers }) => ({ ...answers, '/jwks': json([]) })],
  [
    'an answer that does not end',
    /no answer within 300 ms/,
    ({ answers }) => ({ ...answers, '/jwks': (_, response) => response.write('{"keys":[') }),
  ],
];

for (const [title, failure, answers] of faults) {
  test(`${title} gives no keys`, async () => {
    const issuer = await startIssuer();
    issuer.answers = answers(issuer);
    const fixture = start([issuer.byDiscovery], { timeoutMs: 300 });
    await until(() => failureOf(fixture, issuer.byDiscovery) !== undefined, 'failed');
    assert.match(failureOf(fixture, issuer.byDiscovery)!, failure);
    assert.equal(kids(fixture, issuer.byDiscovery), undefined);
  });
}

test('a redirect within the origin is followed', async () => {
  const issuer = await startIssuer();
  issuer.answers = {
    '/jwks': (_, response) => response.writeHead(307, { location: '/real' }).end(),
    '/real': json({ keys: [first] }),
  };
  const fixture = start([issuer.byKeySet]);
  await until(() => kids(fixture, issuer.byKeySet)?.join() === 'first', 'fetched');
});

test('refused destinations get no request: an address, a name that resolves to it, a redirected document, plain HTTP', async () => {
  const issuer = await startIssuer();
  const asked: string[] = [];
  const refuseLoopback = (host: string, address: string) => {
    asked.push(`${host} ${address}`);
    return address === '127.0.0.1' || address === '::1' ? 'a loopback address' : undefined;
  };
  const byName: KeySource = { type: 'URI', url: `http://localhost:${issuer.port}/jwks` };
  const guard = { ...open, refusal: refuseLoopback };
  const fixture = start([issuer.byKeySet, byName], {}, { guard });
  await until(() => failureOf(fixture, issuer.byKeySet) !== undefined, 'failed');
  await until(() => failureOf(fixture, byName) !== undefined, 'failed');
  assert.equal(failureOf(fixture, issuer.byKeySet), '127.0.0.1 is not allowed: a loopback address');
  assert.equal(failureOf(fixture, byName), 'localhost is not allowed: a loopback address');
  assert.ok(asked.includes('localhost 127.0.0.1'), asked.join());
  const noPlainHttp = start([issuer.byKeySet], {}, { guard: { ...guard, allowsPlainHttp: () => false } });
  await until(() => failureOf(noPlainHttp, issuer.byKeySet) !== undefined, 'failed');
  assert.equal(failureOf(noPlainHttp, issuer.byKeySet), 'the URL must start with https:');
  assert.deepEqual(issuer.requests, []);
});

test('a discovery document may not name a host that the guard reserves for policies', async () => {
  const issuer = await startIssuer();
  const keysUrl = `http://localhost:${issuer.port}/jwks`;
  const document = { issuer: issuer.origin, jwks_uri: keysUrl };
  issuer.answers = { ...issuer.answers, '/.well-known/openid-configuration': json(document) };
  const guard = { ...open, linkRefusal: (host: string) => (host === 'localhost' ? 'a Service' : undefined) };
  const fixture = start([issuer.byDiscovery, { type: 'URI', url: keysUrl }], {}, { guard });
  await until(() => failureOf(fixture, issuer.byDiscovery) !== undefined, 'failed');
  assert.equal(failureOf(fixture, issuer.byDiscovery), 'localhost is not allowed: a Service');
  await until(() => kids(fixture, { type: 'URI', url: keysUrl })?.join() === 'first', 'fetched');
});

test('a source does not take the place of another one with the same URL', async () => {
  const issuer = await startIssuer();
  const { url } = issuer.byDiscovery;
  const others: readonly KeySource[] = [
    { type: 'URI', url },
    { type: 'Discovery', url, issuer: `${issuer.origin}/` },
  ];
  const { fetcher } = start([issuer.byDiscovery, ...others]);
  await fetcher.tried(5000);
  assert.equal(fetcher.results().get(keySourceId(issuer.byDiscovery))?.keys.length, 1);
  assert.deepEqual(
    others.map((source) => fetcher.results().get(keySourceId(source))?.keys),
    [[], []],
  );
});
