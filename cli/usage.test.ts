import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { failure } from '../extproc/errors.ts';
import { openQuotaStore } from '../extproc/quota/open.ts';
import { bucket, charge, costQuota, demand, granted, quota, reserve, settle } from '../extproc/quota/testing.ts';
import type { UsageSubject } from '../extproc/quota/usage-record.ts';
import { outcomeOfStream } from '../extproc/telemetry/testing.ts';
import { createLog } from '../runtime/log.ts';
import { type QuotaServer, startQuotaServer } from './quota-server.ts';
import { RefusedRequests } from './refused-requests.ts';

const main = fileURLToPath(new URL('main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'usage-cli-'));
const socket = join(folder, 'quota.sock');
const journal = join(folder, 'journal.db');
const total = quota('TotalTokens', 1000);
const refused = new RefusedRequests();
let opened: ReturnType<typeof openQuotaStore>;
let server: QuotaServer;
const children: ChildProcess[] = [];

async function tallygate(...args: readonly string[]) {
  const child = spawn(process.execPath, [main, ...args, '--socket', socket]);
  children.push(child);
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => (stdout += text));
  child.stderr.on('data', (text) => (stderr += text));
  const [code] = await once(child, 'close');
  return { code, stdout, stderr };
}

function spend(store: typeof opened.store, requestId: string, tenant: string, session: string, nanos?: number): void {
  const subject: UsageSubject = {
    requestId,
    tenant,
    user: undefined,
    apiKey: undefined,
    model: 'gpt',
    route: 'default/chat',
    backend: 'default/openai',
    session,
  };
  const buckets = [bucket(total), bucket(costQuota(1e9))];
  const { hold } = granted(reserve(store, { ...demand(buckets, Date.now(), 9), subject }));
  settle(store, hold, charge(7, 0), Date.now());
  store.recordUsage(
    {
      subject,
      timeMs: Date.now(),
      served: 'gpt-2026',
      status: 200,
      decision: 'admitted',
      source: 'provider',
      usage: outcomeOfStream.usage,
      cost: nanos === undefined ? undefined : { nanos, currency: 'USD', catalog: undefined },
      overdrafts: [],
    },
    hold,
  );
}

before(async () => {
  const first = openQuotaStore({ path: journal });
  spend(first.store, 'r1', 'red', 's1', 1_500_000_000);
  spend(first.store, 'r2', 'red', 's2', 250_000_000);
  spend(first.store, 'r3', '=blue,"1"', 's1');
  first.store.close();
  await first.usage?.close(10_000);
  opened = openQuotaStore({ path: journal });
  refused.add({
    ...outcomeOfStream,
    requestId: 'no',
    decision: { type: 'refused', reason: 'spent', quota: 'default/teams/hour' },
  });
  // Settled, so that its record is in the journal.
  refused.add({ ...outcomeOfStream, requestId: 'r1', usage: undefined, failure: failure('internal_error', 'no') });
  server = await startQuotaServer(
    socket,
    { store: opened.store, usage: opened.usage, audit: opened.audit, refused },
    createLog({ level: 'silent', keys: { process: 'extproc' } }),
  );
});
after(async () => {
  for (const child of children) {
    child.kill('SIGKILL');
  }
  await server.close();
  opened.store.close();
  await opened.usage?.close(10_000);
  rmSync(folder, { recursive: true });
});

test('usage shows sums by tenant as a table, JSON and CSV', async () => {
  const shown = await tallygate('usage');
  assert.equal(shown.stderr, '');
  assert.deepEqual(
    shown.stdout.split('\n').map((line) => line.split(/ {2,}/)),
    [
      ['TENANT', 'REQUESTS', 'INPUT', 'CACHED', 'OUTPUT', 'REASONING', 'COST'],
      ['red', '2', '200', '120', '102', '0', '1.75 USD'],
      ['=blue,"1"', '1', '100', '60', '51', '0', '-'],
      [''],
    ],
  );
  const json = (await tallygate('usage', '--by', 'tenant,model', '--json')).stdout.split('\n');
  const first = JSON.parse(json[0]!);
  assert.deepEqual(
    [first.group, first.requests, first.inputTokens, first.cost],
    [{ tenant: 'red', model: 'gpt' }, 2, 200, { USD: '1.75' }],
  );
  const csv = (await tallygate('usage', '--csv')).stdout.split('\r\n');
  assert.equal(csv[0], 'tenant,requests,input,cached,output,reasoning,cost');
  assert.equal(csv[2], '"\'=blue,""1""",1,100,60,51,0,');
});

test('usage is grouped by session, and bounded in time', async () => {
  const bySession = (await tallygate('usage', '--by', 'session', '--json')).stdout.trim().split('\n');
  assert.deepEqual(
    bySession.map((line) => JSON.parse(line)).map(({ group, requests }) => [group.session, requests]),
    [
      ['s1', 2],
      ['s2', 1],
    ],
  );
  const before = await tallygate('usage', '--since', '2020-01-01', '--until', '2020-02-01');
  assert.equal(before.stdout, 'No usage is recorded in this time.\n');
});

test('explain shows the limits, the hold and the charge of a request', async () => {
  const shown = (await tallygate('explain', 'r1')).stdout;
  assert.match(shown, /^decision +admitted$/m);
  assert.match(shown, /^cost +1\.5$/m);
  assert.match(shown, /^held at admission +9 input, 0 output tokens$/m);
  assert.match(shown, /^default\/teams\/TotalTokens +a +9 +7 +tokens$/m);
  const explained = (await tallygate('explain', 'r1', '--json')).stdout.trim().split('\n');
  assert.deepEqual(
    explained.map((line) => JSON.parse(line).hold?.limits.length),
    [2],
  );
});

test('explain shows why a request was refused', async () => {
  const shown = (await tallygate('explain', 'no')).stdout;
  assert.match(shown, /^decision +refused$/m);
  assert.match(shown, /^reason +spent$/m);
  assert.match(shown, /^default\/teams\/hour +red,small /m);
});

test('an unknown request is an error', async () => {
  const { code, stderr } = await tallygate('explain', 'unknown');
  assert.deepEqual([code, stderr.startsWith('tallygate: request unknown is not recorded')], [1, true]);
});

test('usage and explain refuse wrong options', async () => {
  for (const wrong of [
    ['usage', '--by', 'colour'],
    ['usage', '--since', 'soon'],
    ['usage', 'more'],
    ['explain'],
    ['explain', 'a', 'b'],
  ]) {
    const { code, stdout } = await tallygate(...wrong);
    assert.deepEqual([code, stdout], [2, ''], wrong.join(' '));
  }
});
