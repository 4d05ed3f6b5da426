/** No command passes on what a terminal would interpret, whoever chose the names. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { failure } from '../extproc/errors.ts';
import { openQuotaStore } from '../extproc/quota/open.ts';
import { bucket, charge, demand, granted, quota, reserve, settle } from '../extproc/quota/testing.ts';
import { outcomeOfStream } from '../extproc/telemetry/testing.ts';
import { createLog } from '../runtime/log.ts';
import { check } from './check.ts';
import { convertPaths } from './convert.ts';
import { type QuotaServer, startQuotaServer } from './quota-server.ts';
import { RefusedRequests } from './refused-requests.ts';

/** Colors, a title, a cleared screen, C1, directions, tags, a half of a pair and line ends. */
const HOSTILE =
  '=a\u001b[31m\u001b]0;x\u0007\u001b[2J\u009b31m\u0085\u007f\u061c\u200e\u200f\u202e\u2066\u2069\u2028\ufeff\u{e0041}\ud800\r\nb';
const RAW = /(?!\n)[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/u;
const TENANTS = 1_000;
const AT_ONCE = 4;
const main = fileURLToPath(new URL('main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'hostile-cli-'));
const file = (name: string) => join(folder, name);
const socket = file('quota.sock');
const total = quota('TotalTokens', 1000);
const children: ChildProcess[] = [];
let opened: ReturnType<typeof openQuotaStore>;
let server: QuotaServer;
let apiServer: Server;

async function tallygate(args: readonly string[], input = '') {
  const child = spawn(process.execPath, [main, ...args], { env: { ...process.env, XDG_STATE_HOME: folder } });
  children.push(child);
  child.stdin.end(input);
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
  const [code] = await once(child, 'close');
  return { code: Number(code), stdout, stderr };
}

/** Runs a command in this process. */
async function within(run: (output: Parameters<typeof convertPaths>[2]) => number | Promise<number>) {
  let [stdout, stderr] = ['', ''];
  const output = {
    stdout: { write: (text: string) => (stdout += text) },
    stderr: { write: (text: string) => (stderr += text) },
    env: {},
  };
  const code = await run(output);
  return { code, stdout, stderr };
}

const running = (...args: readonly string[]) => tallygate([...args, '--socket', socket]);
const onCluster = (...args: readonly string[]) => tallygate([...args, '--cluster', '--kubeconfig', file('config')]);

before(async () => {
  const first = openQuotaStore({ path: file('journal.db') });
  const tenants = [HOSTILE, ...Array.from({ length: TENANTS }, (_, nth) => `tenant ${nth} \u202e`)];
  for (const tenant of tenants) {
    const subject = { requestId: HOSTILE, tenant, user: HOSTILE, apiKey: HOSTILE, model: HOSTILE, route: HOSTILE };
    const of = { ...subject, backend: HOSTILE, session: HOSTILE };
    const demanded = { ...demand([bucket(total, tenant)], Date.now(), 9), subject: of };
    const { hold } = granted(reserve(first.store, demanded));
    settle(first.store, hold, charge(7, 0), Date.now());
    const cost = { nanos: 1, currency: 'USD', catalog: undefined };
    const facts = { served: HOSTILE, status: 200, decision: 'admitted', source: 'provider', overdrafts: [] } as const;
    first.store.recordUsage({ subject: of, timeMs: Date.now(), usage: outcomeOfStream.usage, cost, ...facts }, hold);
  }
  first.store.close();
  await first.usage?.close(10_000);
  opened = openQuotaStore({ path: file('journal.db') });
  opened.store.define([total], { epoch: 1, counter: 1 }, Date.now());
  const refused = new RefusedRequests();
  const decision = { type: 'refused', reason: 'spent', quota: HOSTILE } as const;
  refused.add({ ...outcomeOfStream, requestId: 'no', decision, failure: failure('internal_error', HOSTILE) });
  const row = {
    id: 'a-1',
    tenant: HOSTILE,
    model: HOSTILE,
    stream: true,
    startedAt: '2026-11-22T12:00:00Z',
    inputTokens: 1,
    outputTokens: 1,
    heldTokens: 1,
  };
  const answer = async (call: string) => {
    const rows = call === 'GET /console/streams' ? [row] : [];
    return { rows, total: rows.length };
  };
  const { store, usage, audit } = opened;
  const log = createLog({ level: 'silent', keys: { process: 'extproc' } });
  server = await startQuotaServer(socket, { store, usage, audit, refused, console: { answer } }, log);
  apiServer = createServer((_, response) => {
    response.writeHead(403, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ kind: 'Status', reason: 'Forbidden', message: HOSTILE }));
  }).listen(0, '127.0.0.1');
  await once(apiServer, 'listening');
  const url = `http://127.0.0.1:${(apiServer.address() as AddressInfo).port}`;
  const kubeconfig = {
    clusters: [{ name: 'c', cluster: { server: url, 'insecure-skip-tls-verify': true } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    users: [{ name: 'u', user: {} }],
    'current-context': 'x',
  };
  writeFileSync(file('config'), JSON.stringify(kubeconfig));
  const metadata = { namespace: 'default', name: HOSTILE };
  const key = { namespace: 'default', name: 'key', labels: { 'tallygate.dev/api-key': 'true' } };
  const annotations = { 'tallygate.dev/tenant': HOSTILE, 'tallygate.dev/user': HOSTILE };
  const objects = [
    { apiVersion: 'tallygate.dev/v1alpha1', kind: 'AIBackend', metadata, spec: { [HOSTILE]: HOSTILE } },
    { apiVersion: 'v1', kind: 'Secret', metadata: { ...key, annotations }, stringData: { apiKey: HOSTILE } },
  ];
  writeFileSync(file('resources.yaml'), objects.map((each) => stringify(each)).join('---\n'));
  const models = [{ model_name: HOSTILE, litellm_params: { model: `openai/${HOSTILE}`, [HOSTILE]: HOSTILE } }];
  writeFileSync(file('litellm.yaml'), stringify({ model_list: models, [HOSTILE]: HOSTILE }));
});
after(async () => {
  for (const child of children) {
    child.kill('SIGKILL');
  }
  apiServer.closeAllConnections();
  apiServer.close();
  await server.close();
  opened.store.close();
  await opened.usage?.close(10_000);
  rmSync(folder, { recursive: true });
});

const quickstart = join(import.meta.dirname, '../examples/quickstart.yaml');
const line = `${JSON.stringify({ msg: 'request', time: HOSTILE, model: HOSTILE, tenant: HOSTILE })}\n`;

/** Each with what it must show, so that no empty output passes, and some with their exit code. */
const commands: readonly [string, () => ReturnType<typeof tallygate>, RegExp, code?: number][] = [
  ['usage', () => running('usage', '--by', 'tenant,user,model'), /=a\\u001b\[31m/],
  ['usage --json', () => running('usage', '--json'), /"=a\\u001b\[31m/],
  ['usage --csv', () => running('usage', '--csv'), /^'=a\\u001b\[31m/m],
  ['usage --records', () => running('usage', '--records'), /"=a\\u001b\[31m/],
  ['quota list', () => running('quota', 'list'), /=a\\u001b\[31m/],
  ['quota list --json', () => running('quota', 'list', '--json'), /"=a\\u001b\[31m/],
  ['quota grant', () => running('quota', 'grant', total.id, '5', `--key=${HOSTILE}`), /granted 5/],
  ['quota reset', () => running('quota', 'reset', `a/b/${HOSTILE}`), /no budget of a\/b\/=a\\u001b\[31m/],
  ['explain', () => running('explain', 'no'), /=a\\u001b\[31m/],
  ['explain --json', () => running('explain', 'no', '--json'), /"=a\\u001b\[31m/],
  ['top', () => running('top', '--once'), /=a\\u001b\[31m/],
  ['top --json', () => running('top', '--json'), /"=a\\u001b\[31m/],
  ['simulate', () => running('simulate', quickstart, '--since', '1h'), /=a\\u001b\[31m/],
  ['tail --json', () => tallygate(['tail', '-', '--json'], `${line}${HOSTILE}\n`), /\? =a\\u001b\[31m/],
  ['check', () => within((output) => check([file('resources.yaml')], output)), /=a\\u001b\[31m/],
  ['convert', () => within((output) => convertPaths([file('litellm.yaml')], {}, output)), /=a\\u001b\[31m/],
  [
    'convert --json',
    () => within((output) => convertPaths([file('litellm.yaml')], { json: true }, output)),
    /=a\\u001b\[31m/,
  ],
  ['key list', () => tallygate(['key', 'list', '--file', file('resources.yaml')]), /=a\\u001b\[31m/],
  ['doctor', () => tallygate(['doctor', file('resources.yaml')]), /=a\\u001b\[31m/],
  ['usage of a cluster', () => onCluster('usage'), /=a\\u001b\[31m/],
  ['doctor of a cluster', () => onCluster('doctor'), /=a\\u001b\[31m/, 3],
  ['doctor --json of a cluster', () => onCluster('doctor', '--json'), /=a\\u001b\[31m/],
  ['an unknown command', () => tallygate([HOSTILE]), /=a\\u001b\[31m/],
];

test('outputs of all commands are printable, with 1,000 tenants', { timeout: 60_000 }, async (t) => {
  const startedMs = performance.now();
  const waiting = [...commands];
  const worker = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [name, run, shown, wanted] = next;
      const { code, stdout, stderr } = await run();
      assert.equal(code, wanted ?? code, name);
      const output = name.endsWith('--csv') ? (stdout + stderr).replaceAll('\r\n', '\n') : stdout + stderr;
      assert.doesNotMatch(output, RAW, name);
      assert.match(output, shown, `${name}: ${output.slice(0, 2000)}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  t.diagnostic(`${commands.length} commands took ${(performance.now() - startedMs).toFixed(0)} ms`);
});
