/** Commands that ask all sidecars of a cluster, against a fake API server that runs them here. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type WebSocket, WebSocketServer } from 'ws';
import type { SharedStoreConfig } from '../contract/shared-store.ts';
import { openQuotaStore } from '../extproc/quota/open.ts';
import { bucket, charge, demand, granted, quota, reserve, settle } from '../extproc/quota/testing.ts';
import { accessLine } from '../extproc/telemetry/access-line.ts';
import { outcomeOfStream } from '../extproc/telemetry/testing.ts';
import { skipWithoutRedis, startRedis } from '../fixtures/redis-server.ts';
import { createLog } from '../runtime/log.ts';
import { startQuotaServer } from './quota-server.ts';
import { RefusedRequests } from './refused-requests.ts';

const main = fileURLToPath(new URL('main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'cluster-cli-'));
const kubeconfig = join(folder, 'config');
const total = quota('TotalTokens', 1000);
const stops: (() => unknown)[] = [];
/** The pods of the namespace whose gateways share a store. */
const sharing = new Set<string>();
let server: Server;
let tailedLists = 0;

/** The log of the pod `one` breaks off after two lines. */
function tailedLog(url: string): string {
  const lines = (...ids: readonly string[]) =>
    ids
      .map((requestId) => accessLine({ ...outcomeOfStream, requestId }, []))
      .map((line, nth) => `2026-11-22T12:00:01.${nth}00000000Z ${line}`)
      .join('');
  const { pathname, searchParams } = new URL(url, 'http://server');
  assert.equal(searchParams.get('timestamps'), 'true');
  if (pathname.includes('later')) {
    return searchParams.has('tailLines') ? '' : lines('b1', 'b2');
  }
  return searchParams.get('tailLines') === '3'
    ? lines('a1', 'a2')
    : searchParams.get('sinceTime') === '2026-11-22T12:00:01.000Z'
      ? lines('a1', 'a2', 'a3')
      : '';
}

const start = (args: readonly string[]) =>
  spawn(process.execPath, [main, ...args], { env: { ...process.env, XDG_STATE_HOME: folder } });

async function run(args: readonly string[]) {
  const child = start(args);
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => (stdout += text));
  child.stderr.on('data', (text) => (stderr += text));
  const [code] = await once(child, 'close');
  return { code: Number(code), stdout, stderr };
}

const tallygate = (...args: readonly string[]) => run([...args, '--cluster', '--kubeconfig', kubeconfig]);

/** A proxy pod with one settled request. */
async function startPod(name: string, shared?: SharedStoreConfig): Promise<() => Promise<void>> {
  const path = join(folder, `${name}.db`);
  const { store, usage, audit } = openQuotaStore({ path, foldEveryMs: 10 });
  usage?.share(shared);
  store.define([total], { epoch: 1, counter: 1 }, Date.now());
  const none = { user: undefined, apiKey: undefined, session: undefined };
  const subject = { requestId: `of-${name}`, tenant: 'red', model: 'gpt', route: 'a/b', backend: 'a/c', ...none };
  const { hold } = granted(reserve(store, { ...demand([bucket(total)], Date.now(), 9), subject }));
  settle(store, hold, charge(7, 0), Date.now());
  const cost = { nanos: 100_000_001, currency: 'USD', catalog: undefined };
  const facts = { served: 'gpt', status: 200, decision: 'admitted', source: 'provider', overdrafts: [] } as const;
  store.recordUsage({ subject, timeMs: Date.now(), usage: outcomeOfStream.usage, cost, ...facts }, hold);
  store.flush();
  const log = createLog({ level: 'silent', keys: { process: 'extproc' } });
  const answer = async (call: string) => {
    const stream = { id: 'a-1', tenant: name, stream: true, startedAt: '2026-11-22T12:00:00Z' };
    const rows = call === 'GET /console/streams' ? [stream] : [];
    return { rows, total: rows.length };
  };
  const books = { store, usage, audit, refused: new RefusedRequests(), console: { answer } };
  const quotaServer = await startQuotaServer(join(folder, `${name}.sock`), books, log);
  return async () => {
    await quotaServer.close();
    store.close();
    await usage?.close(10_000);
  };
}

const CHANNEL = { stdout: 1, stderr: 2, status: 3 } as const;

async function execute(socket: WebSocket, pod: string, command: readonly string[]): Promise<void> {
  const send = (channel: number, text: string) =>
    socket.send(Buffer.concat([Buffer.from([channel]), Buffer.from(text)]));
  assert.deepEqual(command.slice(0, 2), ['/usr/local/bin/node', '/app/cli/main.ts']);
  const [verb = '', ...args] = command.slice(2);
  const child = start([verb, `--socket=${join(folder, `${pod}.sock`)}`, ...args]);
  socket.on('message', (data: Buffer) => child.stdin.write(data.subarray(1)));
  socket.on('close', () => child.stdin.end());
  child.stdout.on('data', (text) => send(CHANNEL.stdout, String(text)));
  child.stderr.on('data', (text) => send(CHANNEL.stderr, String(text)));
  const [code] = await once(child, 'close');
  const causes = [{ reason: 'ExitCode', message: String(code) }];
  const failure = { status: 'Failure', reason: 'NonZeroExitCode', details: { causes } };
  send(CHANNEL.status, JSON.stringify(code === 0 ? { status: 'Success' } : failure));
  socket.close();
}

before(async () => {
  stops.push(await startPod('proxy-1'), await startPod('proxy-2'));
  const pods = ['proxy-1', 'proxy-2', 'proxy-gone'].map((name) => ({
    metadata: { name, uid: name },
    status: { phase: 'Running' },
    spec: { containers: [{ name: 'envoy' }], initContainers: [{ name: 'tallygate' }] },
  }));
  const other = {
    metadata: { name: 'other' },
    status: { phase: 'Running' },
    spec: { containers: [{ name: 'envoy' }] },
  };
  server = createServer((request, response) => {
    response.setHeader('content-type', 'application/json');
    if (request.url === '/apis/authentication.k8s.io/v1/selfsubjectreviews') {
      response.writeHead(201).end(JSON.stringify({ status: { userInfo: { username: 'ann@example.com' } } }));
    } else if (request.url?.startsWith('/api/v1/namespaces/envoy-gateway-system/pods?')) {
      response.end(JSON.stringify({ kind: 'PodList', items: [...pods, other], metadata: {} }));
    } else if (request.url?.startsWith('/api/v1/namespaces/closed/pods?')) {
      response.end(JSON.stringify({ kind: 'PodList', items: pods, metadata: {} }));
    } else if (request.url?.startsWith('/api/v1/namespaces/tailed/pods?')) {
      const names = tailedLists++ === 0 ? ['one', 'away'] : ['one', 'away', 'later'];
      const items = names.map((name) => ({ ...pods[0], metadata: { name, uid: name } }));
      response.end(JSON.stringify({ kind: 'PodList', items, metadata: {} }));
    } else if (/\/tailed\/pods\/(one|later)\/log\?/.test(request.url ?? '')) {
      response.end(tailedLog(request.url ?? ''));
    } else if (request.url?.endsWith('&tailLines=4')) {
      response.writeHead(403).end('{"reason":"Forbidden","message":"pods/log is forbidden"}');
    } else if (request.url?.includes('/log?')) {
      response.writeHead(500).end('{"reason":"InternalError","message":"no kubelet"}');
    } else if (request.url?.startsWith('/api/v1/namespaces/sharing/pods?')) {
      const [pod] = pods;
      const items = [...sharing].map((name) => ({ ...pod, metadata: { name } }));
      response.end(JSON.stringify({ kind: 'PodList', items, metadata: {} }));
    } else {
      response.end(JSON.stringify({ kind: 'PodList', items: [], metadata: {} }));
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => 'v4.channel.k8s.io' });
  server.on('upgrade', (request, stream, head) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://server');
    const pod = /\/pods\/([^/]+)\/exec$/.exec(pathname)?.[1] ?? '';
    if (pathname.includes('/closed/')) {
      stream.end('HTTP/1.1 403 Forbidden\r\n\r\n');
      return;
    }
    if (pod === 'proxy-gone') {
      stream.end('HTTP/1.1 500 Internal Server Error\r\n\r\n');
      return;
    }
    sockets.handleUpgrade(request, stream, head, (socket) => execute(socket, pod, searchParams.getAll('command')));
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const cluster = { name: 'c', cluster: { server: url, 'insecure-skip-tls-verify': true } };
  const contexts = [{ name: 'x', context: { cluster: 'c', user: 'u' } }];
  const users = [{ name: 'u', user: {} }];
  writeFileSync(kubeconfig, JSON.stringify({ clusters: [cluster], contexts, users, 'current-context': 'x' }));
});
after(async () => {
  server.closeAllConnections();
  server.close();
  for (const stop of stops) {
    await stop();
  }
  rmSync(folder, { recursive: true });
});

test('usage adds the records of all sidecars, and names the pod that does not answer', async () => {
  let shown = await tallygate('usage', '--json');
  for (let tries = 0; tries < 20 && !shown.stdout.includes('"requests":2'); tries++) {
    shown = await tallygate('usage', '--json');
  }
  const [row] = shown.stdout.split('\n').map((line) => line && JSON.parse(line));
  assert.deepEqual(
    [row.group, row.requests, row.inputTokens, row.cost],
    [{ tenant: 'red' }, 2, 200, { USD: '0.200000002' }],
  );
  assert.equal(shown.code, 1);
  assert.match(shown.stderr, /^tallygate: pod proxy-gone does not answer: .*500.*\n$/);
});

test('explain says which pod knows a request', async () => {
  const { stdout } = await tallygate('explain', 'of-proxy-2');
  assert.match(stdout, /^pod +proxy-2$/m);
  assert.match(stdout, /^requestId +of-proxy-2$/m);
});

test('a grant reaches each pod that counts alone, with the user of the cluster', async () => {
  const name = total.id;
  const { code, stdout } = await tallygate('quota', 'grant', name, '50', '--key=a', '--reason', 'launch');
  const text = (pod: string) => `pod ${pod}: granted 50, the limit of this window is 1050\n`;
  assert.deepEqual([code, stdout], [1, text('proxy-1') + text('proxy-2')]);
  const listed = await tallygate('quota', 'list', name, '--json');
  assert.deepEqual(
    listed.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
      .map(({ pod, spent, limit }) => [pod, spent, limit]),
    [
      ['proxy-1', 7, 1050],
      ['proxy-2', 7, 1050],
    ],
  );
  const audit = (await tallygate('quota', 'audit')).stdout.split('\n');
  assert.match(audit[1] ?? '', /^proxy-1 +20\S+ +ann@example\.com +grant +default\/teams\/TotalTokens +a +50 +launch$/);
});

test('top shows all gateways that answer, and names the pod that does not', async () => {
  const { code, stdout, stderr } = await tallygate('top', '--json');
  const { spend, streams, gateways } = JSON.parse(stdout);
  assert.deepEqual([spend.rows[0].name, spend.rows[0].today.requests, streams.unanswered], ['red', 2, 1]);
  const shown = streams.rows.map(({ tenant, gateway, id }: Record<string, string>) => [tenant, gateway, id]);
  assert.deepEqual(shown, [
    ['proxy-1', 'proxy-1', 'proxy-1-a-1'],
    ['proxy-2', 'proxy-2', 'proxy-2-a-1'],
  ]);
  assert.equal(gateways.total, 3);
  assert.deepEqual([code, stderr.includes('pod proxy-gone')], [1, true]);
});

test('a namespace without proxies is an error that names the fix', async () => {
  const { code, stderr } = await tallygate('usage', '--namespace', 'none');
  assert.deepEqual(
    [code, stderr],
    [1, 'tallygate: no proxy pod with a sidecar runs in the namespace none; select another one with --namespace\n'],
  );
});

test('without the right to exec into pods, nothing is said to be empty', async () => {
  const asked: readonly [string, readonly string[]][] = [
    ['usage', ['usage']],
    ['usage', ['usage', '--csv']],
    ['budgets', ['quota', 'list']],
    ['changes of budgets', ['quota', 'audit']],
  ];
  for (const [what, args] of asked) {
    const { code, stdout, stderr } = await tallygate(...args, '--namespace', 'closed');
    const lines = stderr.trim().split('\n');
    assert.deepEqual([code, stdout], [1, ''], args.join(' '));
    assert.match(lines[0]!, /^tallygate: pod proxy-1 does not answer: the user may not exec into it; ask for a Role/);
    assert.equal(lines.at(-1), `tallygate: ${what} could not be read from any gateway; correct the problems above`);
  }
  const none = await tallygate('usage', '--until', '2020-01-01', '--since', '2019-01-01');
  assert.deepEqual([none.code, none.stdout], [1, '']);
  assert.match(none.stderr, /usage could be read from some gateways only, which have none to show/);
});

test('usage of a shared store counts each request once, also of a pod that is gone', {
  skip: skipWithoutRedis,
}, async () => {
  const redis = await startRedis();
  stops.push(() => redis.stop());
  const addresses = [`127.0.0.1:${redis.port}`];
  const config: SharedStoreConfig = { type: 'Redis', mode: 'Standalone', addresses, keyPrefix: 'test' };
  const ends = new Map<string, () => Promise<void>>();
  const end = async (pod: string) => {
    sharing.delete(pod);
    await ends.get(pod)?.();
    ends.delete(pod);
  };
  stops.push(() => Promise.all([...ends.keys()].map(end)));
  for (const pod of ['sharing-1', 'sharing-2']) {
    ends.set(pod, await startPod(pod, config));
    sharing.add(pod);
  }
  const namespace = ['--namespace', 'sharing'];
  const requests = async () => {
    const { stdout } = await tallygate('usage', '--json', ...namespace);
    return stdout === '' ? 0 : Number(JSON.parse(stdout).requests);
  };
  const shared = () => run(['usage', '--json', '--of', 'shared', '--socket', join(folder, 'sharing-1.sock')]);
  while (!(await shared()).stdout.includes('"requests":2')) {
    // Its worker starts after a second.
  }
  assert.equal(await requests(), 2);
  await end('sharing-2');
  assert.equal(await requests(), 2);
  const gone = await tallygate('explain', 'of-sharing-2', '--json', ...namespace);
  assert.deepEqual([gone.code, JSON.parse(gone.stdout).pod], [0, 'shared store']);
  const both = await tallygate('explain', 'of-sharing-1', '--json', ...namespace);
  assert.deepEqual([both.code, JSON.parse(both.stdout).pod], [0, 'sharing-1']);
  const files = join(import.meta.dirname, '../examples/quickstart.yaml');
  const simulated = await tallygate('simulate', files, '--json', '--since', '1h', ...namespace);
  assert.equal(JSON.parse(simulated.stdout).requests, 2, simulated.stderr);
  await redis.stop();
  const away = await tallygate('usage', '--json', ...namespace);
  assert.deepEqual([away.code, away.stdout], [1, '']);
  assert.match(away.stderr, /^tallygate: pod sharing-1: the store refuses connections/);
});

test('tail follows the logs of all sidecars, also after a break and of pods that start later', async () => {
  const child = start(['tail', '-n', '3', '--cluster', '--kubeconfig', kubeconfig, '--namespace', 'tailed']);
  const shown = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const told = createInterface({ input: child.stderr })[Symbol.asyncIterator]();
  const ids: string[] = [];
  while (ids.length < 5) {
    ids.push(
      String((await shown.next()).value)
        .split('  ')
        .slice(-2)
        .join(' '),
    );
  }
  assert.deepEqual(ids.sort(), ['a1 one', 'a2 one', 'a3 one', 'b1 later', 'b2 later']);
  const notes = [(await told.next()).value, (await told.next()).value];
  assert.deepEqual(notes.sort(), [
    'tallygate: pod later has started',
    'tallygate: the log of pod away cannot be read: no kubelet; trying again',
  ]);
  child.kill('SIGINT');
  assert.deepEqual(await once(child, 'exit'), [null, 'SIGINT']);
  const forbidden = await tallygate('tail', '--lines', '4');
  assert.match(
    forbidden.stderr,
    /pods\/log is forbidden; ask for a Role in envoy-gateway-system with get on pods\/log/,
  );
});
