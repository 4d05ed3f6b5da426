/**
 * Measures how the control plane scales: with 10, 100 and 1,000 routes, the time from a change to
 * the sidecar's policy, the time of a full resync, memory and writes. Uses a real API server and a
 * real sidecar process that authenticates with a pod's token. Envoy is left out, because what Envoy
 * Gateway takes for the routes is not Tallygate's cost. Run by `make bench-controller`.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from '../fixtures/free-ports.ts';
import { type Running, residentBytes, start, until } from './processes.ts';
import { samplesOf } from './prometheus.ts';
import { percentile } from './statistics.ts';

const repository = path.resolve(import.meta.dirname, '..');
const main = path.join(repository, 'cli/main.ts');
const loopHeld = path.join(repository, 'bench/parts/loop-held.ts');
const system = 'bench-system';
const app = 'bench-app';
/** Sizes from the command line replace these. */
const SIZES = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [10, 100, 1000];
const CHANGES = 60;
const agent = new Agent({ keepAlive: true });

type JsonValue = Readonly<Record<string, unknown>>;

async function call(url: string, method = 'GET', body?: JsonValue, type = 'application/json'): Promise<string> {
  return await new Promise((resolve, reject) => {
    const outgoing = request(url, { method, agent, headers: { 'content-type': type } }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (piece: string) => {
        text += piece;
      });
      answer.on('end', () => {
        if ((answer.statusCode ?? 500) < 300) {
          resolve(text);
        } else {
          reject(new Error(`${method} ${url}: ${answer.statusCode} ${text.slice(0, 300)}`));
        }
      });
    });
    outgoing.on('error', reject);
    outgoing.end(body && JSON.stringify(body));
  });
}

const [proxyPort = 0, pushPort = 0, controllerPort = 0, extprocPort = 0] = await freePorts(4);
const server = `http://127.0.0.1:${proxyPort}`;
const folder = mkdtempSync(path.join(tmpdir(), 'bench-controller-'));
const heldFile = path.join(folder, 'held');
const ours = `${server}/apis/tallygate.dev/v1alpha1/namespaces/${app}`;
const gatewayApi = `${server}/apis/gateway.networking.k8s.io/v1`;

function apply(url: string, body: JsonValue): Promise<string> {
  return call(`${url}?fieldManager=bench&force=true`, 'PATCH', body, 'application/apply-patch+yaml');
}

function put(plural: 'aigatewayroutes' | 'aibackends', kind: string, name: string, spec: JsonValue): Promise<string> {
  const metadata = { name, namespace: app };
  return apply(`${ours}/${plural}/${name}`, { apiVersion: 'tallygate.dev/v1alpha1', kind, metadata, spec });
}

function putRoute(index: number, backends: number, model: string): Promise<string> {
  const backendRefs = [{ name: `backend-${index % backends}` }];
  const rules = [{ name: 'all', models: [`${model}-${index}`], backendRefs }];
  return put('aigatewayroutes', 'AIGatewayRoute', `route-${index}`, { parentRefs: [{ name: 'ai' }], rules });
}

function putBackend(index: number): Promise<string> {
  const endpoint = { type: 'Hostname', hostname: { name: `provider-${index}.example`, port: 443 } };
  return put('aibackends', 'AIBackend', `backend-${index}`, { schema: 'OpenAI', endpoint });
}

async function atOnce(count: number, work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) {
      await work(next++);
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}

async function prepare(): Promise<string> {
  for (const name of [system, app]) {
    await apply(`${server}/api/v1/namespaces/${name}`, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  }
  const version = 'gateway.networking.k8s.io/v1';
  // Envoy Gateway ignores a class whose parameters it does not find, so it leaves these routes
  // alone.
  const parametersRef = { group: 'gateway.envoyproxy.io', kind: 'EnvoyProxy', name: 'absent', namespace: system };
  const controllerName = 'gateway.envoyproxy.io/gatewayclass-controller';
  const spec = { controllerName, parametersRef };
  await apply(`${gatewayApi}/gatewayclasses/bench`, {
    apiVersion: version,
    kind: 'GatewayClass',
    metadata: { name: 'bench' },
    spec,
  });
  await apply(`${gatewayApi}/namespaces/${app}/gateways/ai`, {
    apiVersion: version,
    kind: 'Gateway',
    metadata: { name: 'ai', namespace: app },
    spec: { gatewayClassName: 'bench', listeners: [{ name: 'http', port: 8080, protocol: 'HTTP' }] },
  });
  const sleeper = { image: 'busybox:1.35', command: ['sleep', '100000'] };
  const labels = {
    'app.kubernetes.io/managed-by': 'envoy-gateway',
    'app.kubernetes.io/component': 'proxy',
    'gateway.envoyproxy.io/owning-gateway-name': 'ai',
    'gateway.envoyproxy.io/owning-gateway-namespace': app,
  };
  const pods = `${server}/api/v1/namespaces/${app}/pods`;
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'proxy', namespace: app, labels },
    spec: {
      serviceAccountName: 'default',
      terminationGracePeriodSeconds: 0,
      initContainers: [{ name: 'tallygate', restartPolicy: 'Always', ...sleeper }],
      containers: [{ name: 'envoy', ...sleeper }],
    },
  };
  await until(
    'the namespace’s service account',
    20_000,
    async () => (await apply(`${pods}/proxy`, pod).catch(() => '')) !== '',
  );
  const read = async () =>
    JSON.parse(await call(`${pods}/proxy`)) as {
      readonly metadata: { readonly uid: string };
      readonly status: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
    };
  await until('the pod', 30_000, async () =>
    ((await read()).status.conditions ?? []).some(({ type, status }) => type === 'Ready' && status === 'True'),
  );
  const boundObjectRef = { kind: 'Pod', apiVersion: 'v1', name: 'proxy', uid: (await read()).metadata.uid };
  const asked = { spec: { audiences: ['tallygate'], expirationSeconds: 7200, boundObjectRef } };
  const answer = await call(`${server}/api/v1/namespaces/${app}/serviceaccounts/default/token`, 'POST', asked);
  return (JSON.parse(answer) as { readonly status: { readonly token: string } }).status.token;
}

function startController(): Running {
  const args = ['controller', '--namespace', system, '--watch-namespaces', app, '--proxy-namespaces', app];
  const addresses = ['--listen', `127.0.0.1:${pushPort}`, '--metrics', `127.0.0.1:${controllerPort}`];
  return start(process.execPath, [main, ...args, ...addresses], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      ...process.env,
      TALLYGATE_LOG_LEVEL: 'error',
      NODE_OPTIONS: '--max-semi-space-size=8 --max-old-space-size=256',
    },
  });
}

async function startSidecar(token: string): Promise<Running> {
  const bundle = `${server}/api/v1/namespaces/${app}/configmaps/tallygate-ca`;
  let ca = '';
  await until('the CA bundle', 20_000, async () => {
    const answer = await call(bundle).catch(() => '{}');
    ca = (JSON.parse(answer) as { readonly data?: Readonly<Record<string, string>> }).data?.['ca.crt'] ?? '';
    return ca !== '';
  });
  const file = (name: string, text: string) => {
    writeFileSync(path.join(folder, name), text, { mode: 0o600 });
    return path.join(folder, name);
  };
  const args = ['extproc', '--socket', path.join(folder, 'extproc.sock'), '--controller', `127.0.0.1:${pushPort}`];
  const proof = ['--token', file('token', token), '--ca', file('ca.crt', ca), '--metrics', `127.0.0.1:${extprocPort}`];
  return start(process.execPath, ['--import', loopHeld, main, ...args, ...proof], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, TALLYGATE_LOG_LEVEL: 'error', BENCH_LOOP_HELD_FILE: heldFile },
  });
}

async function inForce(): Promise<string> {
  const answer = await call(`http://127.0.0.1:${extprocPort}/readyz`).catch(() => '{}');
  return (JSON.parse(answer) as { readonly policy?: string }).policy ?? '';
}

/** Returns the longest time that the sidecar's event loop was blocked since the last call. */
async function heldMs(): Promise<number> {
  rmSync(heldFile, { force: true });
  sidecar?.child.kill('SIGUSR2');
  let text = '';
  await until('the sidecar’s word', 10_000, () => {
    text = existsSync(heldFile) ? readFileSync(heldFile, 'utf8') : '';
    return text.endsWith('\n');
  });
  return Number(text);
}

async function counted(): Promise<{ readonly runs: number; readonly writes: number; readonly statusWrites: number }> {
  const samples = samplesOf(await call(`http://127.0.0.1:${controllerPort}/metrics`).catch(() => ''));
  const read = (name: string) => samples.find((each) => each.name === `tallygate_controller_${name}_total`)?.value ?? 0;
  return { runs: read('runs'), writes: read('writes'), statusWrites: read('status_writes') };
}

/** Counts with delay in a run of many writes. */
async function allProgrammed(): Promise<boolean> {
  const { items } = JSON.parse(await call(`${ours}/aigatewayroutes`)) as { readonly items: readonly object[] };
  return items.every((each) => JSON.stringify(each).includes('"reason":"Programmed","status":"True"'));
}

/**
 * Waits until nothing was written for longer than a run takes, because writes are counted at the
 * end of a run.
 */
async function settled(size: number): Promise<void> {
  let before = -1;
  let since = performance.now();
  await until('a settled controller', 600_000, async () => {
    const { writes, statusWrites } = await counted();
    if (writes + statusWrites !== before) {
      since = performance.now();
    }
    before = writes + statusWrites;
    if (performance.now() - since < 2500 + 10 * size) {
      return false;
    }
    if (await allProgrammed()) {
      return true;
    }
    since = performance.now();
    return false;
  });
}

async function changes(size: number, backends: number): Promise<readonly number[]> {
  const times: number[] = [];
  for (let count = 0; count < CHANGES; count++) {
    const before = await inForce();
    const startedMs = performance.now();
    await putRoute((count * 7) % size, backends, `changed-${size}-${count}`);
    while ((await inForce()) === before) {
      if (performance.now() - startedMs > 60_000) {
        throw new Error('the change did not reach the sidecar in time');
      }
      await sleep(3);
    }
    times.push(performance.now() - startedMs);
    await sleep(150);
  }
  return times.toSorted((left, right) => left - right);
}

const proxy = start('kubectl', ['proxy', `--port=${proxyPort}`], { stdio: ['ignore', 'ignore', 'inherit'] });
let controller: Running | undefined;
let sidecar: Running | undefined;
const rows: string[] = [];
try {
  await until('kubectl proxy', 10_000, async () => (await call(`${server}/version`).catch(() => '')) !== '');
  const token = await prepare();
  controller = startController();
  sidecar = await startSidecar(token);
  let made = 0;
  let madeBackends = 0;
  for (const size of SIZES) {
    const backends = Math.max(2, size / 5);
    await atOnce(backends - madeBackends, (index) => putBackend(madeBackends + index));
    await atOnce(size - made, (index) => putRoute(made + index, backends, 'model'));
    made = size;
    madeBackends = backends;
    await settled(size);
    const before = await counted();
    await heldMs();
    const times = await changes(size, backends);
    const longestMs = await heldMs();
    await settled(size);
    const after = await counted();
    const memory = residentBytes(controller.pid) / 1e6;
    await controller.stop();
    const startedMs = performance.now();
    controller = startController();
    await until('a full resync', 120_000, async () => (await counted()).runs > 0);
    const resyncMs = performance.now() - startedMs;
    await settled(size);
    const again = await counted();
    const milliseconds = (share: number) => percentile(times, share).toFixed(0);
    rows.push(
      `| ${[
        `${size} routes, ${backends} backends`,
        `${milliseconds(0.5)} / ${milliseconds(0.99)}`,
        (resyncMs / 1000).toFixed(1),
        again.writes + again.statusWrites,
        memory.toFixed(0),
        longestMs.toFixed(0),
        `${((after.writes - before.writes) / CHANGES).toFixed(2)} / ${((after.statusWrites - before.statusWrites) / CHANGES).toFixed(2)}`,
      ].join(' | ')} |`,
    );
    console.log(rows.at(-1));
  }
} finally {
  await sidecar?.stop();
  await controller?.stop();
  for (const url of [
    `${gatewayApi}/gatewayclasses/bench`,
    ...[app, system].map((name) => `${server}/api/v1/namespaces/${name}`),
  ]) {
    await call(url, 'DELETE').catch((error) => console.error(String(error)));
  }
  await proxy.stop();
  agent.destroy();
}
const text = `# The control plane

The time from a user's change until the sidecar applies it, and the time from a controller's start until its first full resync is done. Measured by \`node bench/controller.ts\` with one sidecar.

| size | change to sidecar, p50 / p99 of ${CHANGES}, ms | full resync, s | writes in a resync | controller, MB resident | sidecar's longest event loop block, ms of CPU | writes of objects / statuses per change |
|---|---|---|---|---|---|---|
${rows.join('\n')}
`;
if (process.argv.length === 2) {
  writeFileSync(path.join(repository, 'bench/results/controller.md'), text);
}
console.log(text);
