import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { socketSource } from '../console/api/socket-source.ts';
import type { Bounded, RefusedRequest } from '../console/api/source.ts';
import type { Viewer } from '../console/api/viewer.ts';
import type { Caller } from '../extproc/caller.ts';
import { failure } from '../extproc/errors.ts';
import { bucketRef } from '../extproc/quota/keys.ts';
import { openQuotaStore } from '../extproc/quota/open.ts';
import { charge, demand, granted, quota, reserve, settle } from '../extproc/quota/testing.ts';
import type { UsageArchive } from '../extproc/quota/usage-archive.ts';
import type { UsageQuery } from '../extproc/quota/usage-report.ts';
import type { UsageSet } from '../extproc/quota/usage-share.ts';
import type { RequestRecord } from '../extproc/record.ts';
import type { LiveRequest } from '../extproc/session/drive.ts';
import { outcomeOfStream } from '../extproc/telemetry/testing.ts';
import { createLog } from '../runtime/log.ts';
import { ConsoleCalls } from './console-calls.ts';
import { type QuotaServer, startQuotaServer } from './quota-server.ts';
import { RefusedRequests } from './refused-requests.ts';

const folder = mkdtempSync(join(tmpdir(), 'console-calls-'));
const socket = join(folder, 'quota.sock');
const plainSocket = join(folder, 'plain.sock');
const journal = join(folder, 'journal.db');
const log = createLog({ level: 'silent', keys: { process: 'extproc' } });
const perTenant = { ...quota('TotalTokens', 1000), key: [{ type: 'Tenant' }, { type: 'User' }] as const };
const source = socketSource(socket);
const refused = new RefusedRequests();
const stops: string[] = [];
const warned: object[] = [];
let opened: ReturnType<typeof openQuotaStore>;
let server: QuotaServer;
let plainServer: QuotaServer;

const operator: Viewer = { operator: true };
const red: Viewer = { operator: false, tenant: 'red', user: 'ada' };
/** Chooses names that belong to others, or to sums that many share. */
const hostile: readonly Viewer[] = [
  { operator: false, tenant: 'none', user: 'ada', key: 'default/red' },
  { operator: false, tenant: '(other)' },
  { operator: false, tenant: '' },
  { operator: false, user: 'ada' },
  { operator: false, user: '' },
  { operator: false, key: '' },
  { operator: false },
];

function callerOf(tenant: string | undefined, user: string): Caller {
  return { tenant, user, groups: [], apiKey: undefined, claim: () => undefined };
}

function recordOf(requestId: string, tenant: string | undefined, more: Partial<RequestRecord> = {}): RequestRecord {
  const access = {
    decision: 'admitted',
    caller: callerOf(tenant, 'ada'),
    method: 'jwt',
    group: undefined,
  } as const;
  return { ...outcomeOfStream, requestId, access, ...more };
}

function live(requestId: string, tenant: string, startMs: number): LiveRequest {
  return {
    facts: () =>
      stops.includes(requestId)
        ? undefined
        : { startMs, caller: callerOf(tenant, 'ada'), backend: undefined, waits: false },
    heldTokens: 151,
    soFar: () => (stops.includes(requestId) ? undefined : recordOf(requestId, tenant, { startMs })),
    stop: () => stops.push(requestId) > 0,
  };
}

before(async () => {
  const first = openQuotaStore({ path: journal });
  // As the sums that many tenants share.
  for (const [tenant, paidBy] of [
    ['red', 'red'],
    ['red', 'red'],
    ['blue', 'blue'],
    ['(other)', 'blue'],
  ] as const) {
    const subject = {
      requestId: tenant,
      tenant,
      user: 'ada',
      apiKey: undefined,
      model: 'gpt',
      route: 'default/chat',
      backend: `default/of-${tenant}`,
      session: undefined,
    };
    const ref = bucketRef(perTenant, [paidBy, 'ada']);
    const { hold } = granted(reserve(first.store, { ...demand([ref], Date.now(), 9), subject }));
    settle(first.store, hold, charge(7, 0), Date.now());
    const { usage } = outcomeOfStream;
    const used = { usage, served: 'gpt', status: 200, decision: 'admitted', source: 'provider' } as const;
    first.store.recordUsage({ subject, timeMs: Date.now(), cost: undefined, overdrafts: [], ...used }, hold);
  }
  first.store.close();
  await first.usage?.close(10_000);
  opened = openQuotaStore({ path: journal });
  opened.store.define([perTenant], { epoch: 1, counter: 1 }, Date.now());
  const problem = failure('model_not_allowed', 'The caller may not use this model.');
  for (const tenant of ['red', 'blue', undefined]) {
    refused.add(recordOf(`no-${tenant}`, tenant, { usage: undefined, decision: { type: 'none' }, failure: problem }));
  }
  const requests = [live('second', 'red', 2_000), live('first', 'red', 1_000), live('other', 'blue', 500)];
  const resting = [{ backend: 'default/of-red', cause: 'RateLimited', untilMs: 9_000 }] as const;
  const service = {
    store: opened.store,
    usage: opened.usage,
    health: { backends: new Set(['default/of-red', 'default/of-blue']), resting: () => resting },
    requests: () => requests,
    identify: async () => ({ caller: undefined }),
  };
  const gateway = { service, refused, plainErrors: false, log: { ...log, warn: (keys: object) => warned.push(keys) } };
  const console = new ConsoleCalls(gateway);
  server = await startQuotaServer(socket, { ...opened, refused, console }, log);
  const plain = new ConsoleCalls({ ...gateway, plainErrors: true });
  plainServer = await startQuotaServer(plainSocket, { ...opened, refused, console: plain }, log);
});
after(async () => {
  await server.close();
  await plainServer.close();
  opened.store.close();
  await opened.usage?.close(10_000);
  rmSync(folder, { recursive: true });
});

async function seen(viewer: Viewer, from = source) {
  const span = { sinceMs: Date.now() - 3_600_000, untilMs: Date.now() + 3_600_000 };
  const usage = await from.usage({ by: ['tenant', 'day'], ...span }, viewer);
  return {
    usage: usage.rows.map(({ group, requests }) => [group.tenant, group.day, requests]).sort(),
    budgets: (await from.budgets(viewer)).rows.map(({ key }) => key.join()).sort(),
    streams: (await from.streams(viewer)).rows.map(({ requestId }) => requestId),
    refusals: (await from.refusals(viewer)).rows.map(({ requestId }) => requestId),
    requests: (await from.requests('no-red', viewer)).rows.concat((await from.requests('red', viewer)).rows).length,
    backends: (await from.backends(viewer)).rows.map(({ backend, rests }) => `${backend} ${rests.length}`),
  };
}

test('an operator sees the rows of all tenants', async () => {
  const today = new Date().toISOString().slice(0, 10);
  assert.deepEqual(await seen(operator), {
    usage: [
      ['(other)', today, 1],
      ['blue', today, 1],
      ['red', today, 2],
    ],
    budgets: ['blue,ada', 'red,ada'],
    streams: ['other', 'first', 'second'],
    refusals: ['no-undefined', 'no-blue', 'no-red'],
    requests: 3,
    backends: ['default/of-blue 0', 'default/of-red 1'],
  });
});

test('a caller sees the rows of its tenant and the backends that served it', async () => {
  const { usage, ...others } = await seen(red);
  assert.deepEqual(
    usage.map(([tenant, , requests]) => [tenant, requests]),
    [['red', 2]],
  );
  assert.deepEqual(others, {
    budgets: ['red,ada'],
    streams: ['first', 'second'],
    refusals: ['no-red'],
    requests: 3,
    backends: ['default/of-red 1'],
  });
});

test('no other identity sees a row of a tenant', async () => {
  for (const viewer of hostile) {
    const rows = await seen(viewer);
    // The user without a tenant is the one of the request without a tenant.
    const own = viewer.tenant === undefined && viewer.user === 'ada' ? ['no-undefined'] : [];
    const nothing = { usage: [], budgets: [], streams: [], refusals: own, requests: 0, backends: [] };
    assert.deepEqual(rows, nothing, JSON.stringify(viewer));
  }
});

test('a request in flight has its tokens so far, and a refusal its explanation', async () => {
  const [stream] = (await source.streams(red)).rows;
  const { id, startedAt, ...facts } = stream!;
  assert.equal(startedAt, '1970-01-01T00:00:01.000Z');
  assert.deepEqual(facts, {
    tenant: 'red',
    user: 'ada',
    requestId: 'first',
    model: 'small',
    route: 'default/chat',
    backend: 'default/openai',
    stream: true,
    firstTokenMs: outcomeOfStream.firstTokenMs! - 1_000,
    inputTokens: 100,
    outputTokens: 51,
    heldTokens: 151,
  });
  assert.equal((await source.streams(operator)).rows.find(({ requestId }) => requestId === 'first')?.id, id);
  const [refusal] = (await source.refusals(red)).rows;
  assert.deepEqual([refusal?.reason, refusal?.message], ['model_not_allowed', 'The caller may not use this model.']);
});

test('a stop ends the request, once, and the log says who did it', async () => {
  const { rows } = await source.streams(operator);
  const { id } = rows.find(({ requestId }) => requestId === 'first')!;
  assert.equal(await source.stop(id, 'eve'), 'stopped');
  assert.equal(await source.stop(id, 'eve'), 'unknown');
  assert.equal(await source.stop('first', 'eve'), 'unknown');
  const request = { requestId: 'first', model: 'small', route: 'default/chat', tenant: 'red', user: 'ada' };
  assert.deepEqual(warned, [{ by: 'eve', outcome: 'stopped', ...request }]);
});

test('callers learn nothing of the configuration where errors are plain', async () => {
  const plain = socketSource(plainSocket);
  const text = JSON.stringify([
    await seen(red, plain),
    await plain.usage({ by: ['route', 'backend', 'served'], sinceMs: 0, untilMs: Date.now() + 1 }, red),
    await plain.budgets(red),
    await plain.streams(red),
    await plain.refusals(red),
    await plain.requests('no-red', red),
    await plain.requests('red', red),
  ]);
  assert.doesNotMatch(text, /default\/|may not use this model/);
  assert.match(text, /The caller is not allowed to use this model/);
  assert.match(JSON.stringify(await plain.budgets(operator)), /"quota":"default/);
});

test('the rows of the shared store are those that the viewer may see', async () => {
  const asked: unknown[] = [];
  const row = (tenant: string) => ({ time: '2026-11-28T10:00:00.000Z', requestId: 'r', decision: 'admitted', tenant });
  const usage = {
    isShared: true,
    async report({ only }: UsageQuery, of?: UsageSet) {
      asked.push([of, only]);
      return [];
    },
    async explain(_id: string, of?: UsageSet) {
      return of === 'shared' ? [row('red'), row('blue')] : [row('red')];
    },
  } as Partial<UsageArchive> as UsageArchive;
  const service = {
    store: opened.store,
    usage,
    health: { backends: new Set<string>(), resting: () => [] },
    requests: () => [],
    identify: async () => ({ caller: undefined }),
  };
  const calls = new ConsoleCalls({ service, refused, plainErrors: false, log });
  const answer = (call: string, of: string) => {
    const query = new URLSearchParams({ operator: 'false', tenant: 'red', id: 'no-red', of });
    return calls.answer(`GET /console/${call}`, query, {});
  };
  assert.deepEqual(await answer('usage', 'unshared'), { rows: [], total: 0, sharesStore: true });
  assert.deepEqual(await answer('usage', 'shared'), { rows: [], total: 0 });
  assert.deepEqual(asked, [
    ['unshared', { tenant: 'red' }],
    ['shared', { tenant: 'red' }],
  ]);
  const own = (await answer('requests', 'local')) as Bounded<RefusedRequest>;
  assert.deepEqual([own.rows.map(({ requestId }) => requestId), own.sharesStore], [['no-red', 'r'], true]);
  assert.deepEqual(await answer('requests', 'shared'), { rows: [row('red')], total: 1 });
});
