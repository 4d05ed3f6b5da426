/** The console of a cluster against sidecars that answer from a table. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { ConsoleRequest } from '../console/api/api.ts';
import { createLog } from '../runtime/log.ts';
import { ClusterConsole } from './console.ts';
import { startConsoleServer } from './console-server.ts';
import type { ConsoleContent, ConsoleReplyBody } from './push/console-questions.ts';
import { type ConnectedSidecar, nothingReported } from './push/sidecar.ts';

interface FakeGateway {
  readonly name: string;
  readonly reply?: ConsoleReplyBody | ((question: ConsoleContent) => ConsoleReplyBody | undefined);
  readonly trusted?: boolean;
  readonly answersConsole?: boolean;
}

function newRig(gateways: readonly FakeGateway[], leads = true) {
  const asked: (readonly [gateway: string, question: ConsoleContent])[] = [];
  const sidecars = gateways.map(({ name, trusted = true, answersConsole = true }): ConnectedSidecar => {
    const pod = { podName: name, podUid: randomUUID(), namespace: 'infra' };
    return { ...nothingReported, pod, fleet: 'class/ai', mayHaveSecrets: trusted, answersConsole };
  });
  const server = {
    sidecars: () => sidecars,
    async askConsole(podUid: string, question: ConsoleContent) {
      const { podName } = sidecars.find(({ pod }) => pod.podUid === podUid)!.pod;
      asked.push([podName, question]);
      const { reply } = gateways.find(({ name }) => name === podName)!;
      return typeof reply === 'function' ? reply(question) : reply;
    },
  };
  const options = { accessPolicies: ['infra/console'], operators: 'group=platform' };
  const console = new ClusterConsole(options, () => (leads ? server : undefined));
  const uidOf = (name: string) => sidecars.find(({ pod }) => pod.podName === name)!.pod.podUid;
  return { console, asked, uidOf };
}

function request(path: string, more: Partial<ConsoleRequest> = {}): ConsoleRequest {
  const credential = { authorization: 'Bearer tg-red' };
  const headers = { host: 'console.example', 'content-type': 'application/json' };
  return { method: 'GET', path, query: new URLSearchParams(), headers, isLocal: false, credential, ...more };
}

const found = (...rows: readonly object[]): ConsoleReplyBody => ({ status: 200, body: { rows, total: rows.length } });
const refusal = (status: number): ConsoleReplyBody => ({ status, body: { error: { message: `${status}` } } });

test('the credential, the policies that count and the operators go to each trusted gateway, and to no other', async () => {
  const { console, asked } = newRig([
    { name: 'one', reply: found() },
    { name: 'two', reply: found() },
    { name: 'of-a-team', trusted: false, reply: found({ backend: 'x/y', rests: [] }) },
    { name: 'old', answersConsole: false },
  ]);
  const { body } = await console.answer(request('backends', { isLocal: true }));
  assert.deepEqual(body, { rows: [], total: 0, unanswered: 2 });
  const question = {
    method: 'GET',
    path: 'backends',
    query: '',
    authorization: 'Bearer tg-red',
    accessPolicies: ['infra/console'],
    operators: 'group=platform',
  };
  assert.deepEqual(asked, [
    ['one', question],
    ['two', question],
  ]);
});

test('nobody is served without a credential, also not through a port of this machine', async () => {
  const { console, asked } = newRig([{ name: 'one', reply: found() }]);
  assert.equal((await console.answer(request('me', { credential: {}, isLocal: true }))).status, 401);
  const headers = { host: 'console.example', origin: 'https://evil.example' };
  assert.equal((await console.answer(request('me', { headers }))).status, 403);
  assert.equal(
    (await console.answer(request('me', { query: new URLSearchParams({ by: 'x'.repeat(5_000) }) }))).status,
    413,
  );
  assert.deepEqual(asked, []);
});

test('a replica that does not lead says so', async () => {
  const { console } = newRig([{ name: 'one', reply: found() }], false);
  assert.equal((await console.answer(request('me'))).status, 503);
});

test('rows are those of the gateways that let the caller in', async () => {
  const { console, uidOf } = newRig([
    { name: 'one', reply: found({ id: '1a-1', startedAt: '2026-11-28T10:00:02.000Z' }) },
    { name: 'two', reply: found({ id: '1a-1', startedAt: '2026-11-28T10:00:01.000Z' }) },
    { name: 'three', reply: refusal(401) },
    { name: 'four' },
  ]);
  const { status, body } = await console.answer(request('streams'));
  assert.equal(status, 200);
  assert.deepEqual(body, {
    rows: [
      { id: `${uidOf('two')}-1a-1`, startedAt: '2026-11-28T10:00:01.000Z', gateway: 'two' },
      { id: `${uidOf('one')}-1a-1`, startedAt: '2026-11-28T10:00:02.000Z', gateway: 'one' },
    ],
    total: 2,
    unanswered: 1,
  });
});

test('a caller whom no gateway lets in learns why', async () => {
  const refusals = [{ name: 'one', reply: refusal(503) }, { name: 'two', reply: refusal(401) }, { name: 'three' }];
  assert.equal((await newRig(refusals).console.answer(request('streams'))).status, 401);
  assert.equal((await newRig([]).console.answer(request('streams'))).status, 503);
});

const row = (tenant: string, requests: number, cost = '0') => {
  const sums = { cachedInputTokens: 0, cacheWriteInputTokens: 0, reasoningOutputTokens: 0, outputTokens: 1 };
  return { group: { tenant }, requests, inputTokens: requests, ...sums, cost: { USD: cost } } as const;
};

/** A gateway with a shared store; undefined: the store does not answer. */
const sharing =
  (unshared: readonly object[], shared: readonly object[] | undefined) =>
  ({ query }: ConsoleContent): ConsoleReplyBody => {
    if (new URLSearchParams(query).get('of') === 'shared') {
      return shared === undefined ? refusal(503) : found(...shared);
    }
    return { status: 200, body: { rows: unshared, total: unshared.length, sharesStore: true } };
  };

test('usage has what the shared store knows of ended gateways, once', async () => {
  const store = [row('red', 10), row('blue', 1)];
  const { console, asked } = newRig([
    { name: 'one', reply: sharing([row('red', 1)], undefined) },
    { name: 'two', reply: sharing([row('red', 2)], store) },
    { name: 'three', reply: sharing([], store) },
    { name: 'without-store', reply: found(row('red', 4)) },
    { name: 'stranger', reply: refusal(401) },
  ]);
  const query = new URLSearchParams({ by: 'tenant', of: 'local' });
  const { body } = await console.answer(request('usage', { query }));
  const { rows, ...others } = body as { readonly rows: readonly ReturnType<typeof row>[] };
  assert.deepEqual(
    rows.map(({ group, requests }) => [group.tenant, requests]),
    [
      ['red', 17],
      ['blue', 1],
    ],
  );
  assert.deepEqual(others, { total: 2 });
  const sets = asked.map(([gateway, question]) => `${gateway} ${question.query}`);
  assert.deepEqual(sets.slice(0, 5).sort(), [
    'one by=tenant&of=unshared',
    'stranger by=tenant&of=unshared',
    'three by=tenant&of=unshared',
    'two by=tenant&of=unshared',
    'without-store by=tenant&of=unshared',
  ]);
  assert.deepEqual(sets.slice(5), ['one by=tenant&of=shared', 'two by=tenant&of=shared']);
});

test('an answer without the rows of the shared store says so', async () => {
  const { console } = newRig([{ name: 'one', reply: sharing([row('red', 1)], undefined) }]);
  assert.deepEqual((await console.answer(request('usage'))).body, {
    rows: [row('red', 1)],
    total: 1,
    withoutStore: true,
  });
});

test('a request that its pod and the shared store know is shown once', async () => {
  const of = (requestId: string, time: string) => ({ requestId, time, decision: 'admitted' });
  const [early, late] = [of('a', '2026-11-28T10:00:00.000Z'), of('a', '2026-11-28T11:00:00.000Z')];
  const { console, asked } = newRig([{ name: 'one', reply: sharing([late], [late, early]) }]);
  const { body } = await console.answer(request('requests', { query: new URLSearchParams({ id: 'a' }) }));
  assert.deepEqual((body as { readonly rows: readonly object[] }).rows, [
    { ...late, gateway: 'one' },
    { ...early, gateway: 'shared store' },
  ]);
  assert.deepEqual(
    asked.map(([, { query }]) => query),
    ['id=a&of=local', 'id=a&of=shared'],
  );
});

test('a budget that gateways share is one row, with what the store counted last and all that is held', async () => {
  const budget = { quota: 'a/b/c', key: ['red'], keyNames: ['Tenant'], window: 'Month', limit: '100' };
  const time = (minute: number) => `2026-11-28T10:0${minute}:00.000Z`;
  const cost = { ...budget, currency: 'USD' };
  const unnamed = { ...budget, quota: '', spent: 1, held: 0 };
  const { console } = newRig([
    {
      name: 'one',
      reply: found(
        { ...cost, spent: '30', held: '0.1', sharedAt: time(1) },
        { ...budget, key: ['blue'], spent: 5, held: 1, limit: 10 },
      ),
    },
    { name: 'two', reply: found({ ...cost, spent: '20', held: '0.2', sharedAt: time(2), exhaustedAt: time(9) }) },
    {
      name: 'three',
      reply: found(
        { ...budget, key: ['blue'], spent: 4, held: 2, limit: 10 },
        { ...unnamed, limit: 100, sharedAt: time(1) },
        { ...unnamed, limit: 200, sharedAt: time(1) },
      ),
    },
  ]);
  assert.deepEqual((await console.answer(request('budgets'))).body, {
    rows: [
      { ...budget, key: ['blue'], spent: 5, held: 1, limit: 10, gateway: 'one' },
      { ...budget, key: ['blue'], spent: 4, held: 2, limit: 10, gateway: 'three' },
      { ...cost, spent: '20', held: '0.3', sharedAt: time(2), exhaustedAt: time(9), gateway: 'shared store' },
      { ...unnamed, limit: 100, sharedAt: time(1), gateway: 'three' },
      { ...unnamed, limit: 200, sharedAt: time(1), gateway: 'three' },
    ],
    total: 5,
  });
});

test('usage is the sum of the gateways, and a backend rests where one leaves it out', async () => {
  const usage = newRig([
    { name: 'one', reply: found(row('red', 1, '0.1'), row('blue', 9, '1')) },
    { name: 'two', reply: found(row('red', 2, '0.2')) },
  ]);
  const { body } = await usage.console.answer(request('usage'));
  const { rows } = body as { readonly rows: readonly ReturnType<typeof row>[] };
  assert.deepEqual(
    rows.map(({ group, requests, cost }) => [group.tenant, requests, cost.USD]),
    [
      ['blue', 9, '1'],
      ['red', 3, '0.3'],
    ],
  );
  const rest = { cause: 'RateLimited', until: '2026-11-28T10:00:02.000Z' };
  const backends = newRig([
    { name: 'one', reply: found({ backend: 'a/b', rests: [] }) },
    { name: 'two', reply: found({ backend: 'a/b', rests: [rest] }, { backend: 'a/a', rests: [] }) },
  ]);
  const expected = [
    { backend: 'a/a', rests: [] },
    { backend: 'a/b', rests: [rest] },
  ];
  assert.deepEqual((await backends.console.answer(request('backends'))).body, { rows: expected, total: 2 });
});

test('who is an operator of one gateway is shown as one', async () => {
  const me = (operator: boolean): ConsoleReplyBody => ({ status: 200, body: { operator, name: 'ops' } });
  const { console } = newRig([
    { name: 'one', reply: me(false) },
    { name: 'two', reply: me(true) },
  ]);
  assert.deepEqual((await console.answer(request('me'))).body, { operator: true, name: 'ops' });
});

test('a stop goes to the gateway of the request only', async () => {
  const stopped: ConsoleReplyBody = { status: 200, body: { outcome: 'stopped' } };
  const { console, asked, uidOf } = newRig([
    { name: 'one', reply: stopped },
    { name: 'two', reply: stopped },
  ]);
  const stop = (id: string) => console.answer(request(`streams/${id}/stop`, { method: 'POST' }));
  assert.deepEqual(await stop(`${uidOf('two')}-1a2b3c4d-17`), stopped);
  assert.deepEqual(
    asked.map(([gateway, { method, path }]) => [gateway, method, path]),
    [['two', 'POST', 'streams/1a2b3c4d-17/stop']],
  );
  assert.equal((await stop(`${randomUUID()}-1a2b3c4d-17`)).status, 404);
  assert.equal((await stop('1a2b3c4d-17')).status, 404);
  assert.equal(asked.length, 1);
});

test('credentials that are not valid reach the gateways a few times only', async () => {
  const { console, asked } = newRig([
    { name: 'one', reply: refusal(401) },
    { name: 'two', reply: refusal(401) },
  ]);
  const server = await startConsoleServer(
    { type: 'tcp', host: '127.0.0.1', port: 0 },
    console,
    createLog({ level: 'silent' }),
  );
  const send = (nth: number) =>
    fetch(`http://127.0.0.1:${server.port}/console/api/me`, { headers: { authorization: `Bearer guess-${nth}` } });
  const responses = await Promise.all(Array.from({ length: 100 }, (_, nth) => send(nth)));
  const limited = responses.filter(({ status }) => status === 429);
  assert.deepEqual([limited.length, asked.length], [70, 60]);
  assert.match(limited[0]?.headers.get('retry-after') ?? '', /^[1-9]\d?$/);
  await server.close();
});
