/** The console of a cluster against sidecars that answer from a table. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { ConsoleRequest } from '../console/api/api.ts';
import { ClusterConsole } from './console.ts';
import type { ConsoleContent, ConsoleReplyBody } from './push/console-questions.ts';
import { type ConnectedSidecar, nothingReported } from './push/sidecar.ts';

interface FakeGateway {
  readonly name: string;
  readonly reply?: ConsoleReplyBody;
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
      return gateways.find(({ name }) => name === podName)!.reply;
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

test('usage is the sum of the gateways, and a backend rests where one leaves it out', async () => {
  const sums = { cachedInputTokens: 0, cacheWriteInputTokens: 0, reasoningOutputTokens: 0, outputTokens: 1 };
  const row = (tenant: string, requests: number, cost: string) =>
    ({ group: { tenant }, requests, inputTokens: requests, ...sums, cost: { USD: cost } }) as const;
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
