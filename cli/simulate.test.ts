import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openQuotaStore } from '../extproc/quota/open.ts';
import type { RecordedRequest } from '../extproc/quota/usage-records.ts';
import { outcomeOfStream } from '../extproc/telemetry/testing.ts';
import { createLog } from '../runtime/log.ts';
import { type QuotaServer, startQuotaServer } from './quota-server.ts';
import { RefusedRequests } from './refused-requests.ts';

const main = fileURLToPath(new URL('main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'simulate-cli-'));
const socket = join(folder, 'quota.sock');
const file = join(folder, 'changed.yaml');
/** More than two pages. */
const REQUESTS = 1_200;
let opened: ReturnType<typeof openQuotaStore>;
let server: QuotaServer;

const resources = (amount: number) => `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: ai, namespace: default}
spec:
  gatewayClassName: tallygate
  listeners: [{name: http, port: 8080, protocol: HTTP}]
---
apiVersion: tallygate.dev/v1alpha1
kind: AIBackend
metadata: {name: openai, namespace: default}
spec:
  schema: OpenAI
  endpoint: {type: Hostname, hostname: {name: 127.0.0.1, port: 9800}, tls: {mode: Disabled}}
  credential: {type: Passthrough}
---
apiVersion: tallygate.dev/v1alpha1
kind: AIGatewayRoute
metadata: {name: chat, namespace: default}
spec:
  parentRefs: [{name: ai}]
  rules: [{name: all, models: ["gpt"], backendRefs: [{name: openai}]}]
---
apiVersion: tallygate.dev/v1alpha1
kind: AIQuotaPolicy
metadata: {name: teams, namespace: default}
spec:
  targetRefs: [{group: tallygate.dev, kind: AIGatewayRoute, name: chat}]
  quotas:
  - name: requests
    limit: {type: Requests, amount: ${amount}}
    window: {type: Lifetime}
    key: [{type: Tenant}]
    onMissingKey: Refuse
  - name: teams
    limit: {type: Requests, amount: 1}
    window: {type: Lifetime}
    key: [{type: Header, header: {name: x-team}}]
    onMissingKey: Refuse
`;

function tallygate(...args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, 'simulate', ...args], (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });
}

before(async () => {
  writeFileSync(file, resources(REQUESTS - 1));
  const path = join(folder, 'journal.db');
  const first = openQuotaStore({ path });
  const names = { requestId: 'r', user: undefined, apiKey: undefined, session: undefined };
  const subject = { ...names, tenant: 'red', model: 'gpt', route: 'default/chat', backend: 'default/openai' };
  const facts = { served: 'gpt', status: 200, decision: 'admitted', source: 'provider', overdrafts: [] } as const;
  const { usage } = outcomeOfStream;
  for (let nth = 0; nth < REQUESTS; nth++) {
    first.store.recordUsage({ ...facts, subject, timeMs: Date.now(), usage, cost: undefined }, undefined);
  }
  first.store.close();
  await first.usage?.close(10_000);
  opened = openQuotaStore({ path });
  server = await startQuotaServer(
    socket,
    { store: opened.store, usage: opened.usage, audit: opened.audit, refused: new RefusedRequests() },
    createLog({ level: 'silent', keys: { process: 'extproc' } }),
  );
});
after(async () => {
  await server.close();
  opened.store.close();
  await opened.usage?.close(10_000);
  rmSync(folder, { recursive: true });
});

test('simulate replays all recorded requests against changed quotas', async () => {
  const { code, stdout, stderr } = await tallygate(file, '--socket', socket, '--json');
  assert.deepEqual([code, stderr], [0, '']);
  const result = JSON.parse(stdout);
  assert.deepEqual([result.requests, result.refused], [REQUESTS, 1]);
  assert.deepEqual(
    result.keys.map(({ quota, key, refused }: Record<string, unknown>) => [quota, key, refused]),
    [['default/teams/requests', ['red'], 1]],
  );
  assert.deepEqual(
    result.notSimulated.map(({ quota }: Record<string, unknown>) => quota),
    ['default/teams/teams'],
  );
});

test('simulate shows refusals and what it does not know as text', async () => {
  const { stdout } = await tallygate(file, '--socket', socket);
  assert.match(stdout, /^1200 requests from \S+ to \S+: 1 would have been refused, 0 cut short\.$/m);
  assert.match(stdout, /^default\/teams\/requests +red +Enforce +1 +0 .* 1 requests .*spent: 1$/m);
  assert.match(stdout, /^default\/teams\/teams +all +its key has the part Header/m);
  assert.match(stdout, /refused requests leave no records/);
});

test('simulate tells that there are no records, and refuses wrong use and faulty files', async () => {
  const none = await tallygate(file, '--socket', socket, '--since', '2020-01-01', '--until', '2020-01-02');
  assert.deepEqual([none.code, none.stderr.startsWith('tallygate: no request is recorded')], [1, true]);
  for (const wrong of [[], [file, '--since', 'soon']]) {
    assert.equal((await tallygate(...wrong)).code, 2, wrong.join(' '));
  }
  const faulty = join(folder, 'faulty.yaml');
  writeFileSync(faulty, resources(-1));
  const { code, stdout, stderr } = await tallygate(faulty, '--socket', socket);
  assert.deepEqual([code, stdout], [1, '']);
  assert.match(stderr, /AIQuotaPolicy default\/teams/);
});

test('simulate fails where the gateway breaks off its response', async () => {
  const path = join(folder, 'broken.sock');
  const names = { tenant: 'red', user: null, apiKey: null, model: 'gpt', route: 'default/chat', backend: null };
  const record: RecordedRequest = {
    timeMs: 1,
    ...names,
    decision: 'admitted',
    usage: null,
    hasImageTokens: true,
    cost: null,
  };
  const broken = createServer((_, response) => {
    response.write(`${JSON.stringify(record)}\n`, () => response.destroy());
  });
  await new Promise<void>((resolve) => broken.listen(path, resolve));
  const { code, stdout, stderr } = await tallygate(file, '--socket', path);
  broken.close();
  assert.deepEqual([code, stdout], [1, '']);
  assert.match(stderr, /^tallygate: the gateway at \S+ broke off its response/);
});
