/** Tests both sides of the policy push, over TLS on this machine. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { GatewayPolicy } from '../contract/policy.ts';
import { issueServerCertificate, renewCa, rotateCa } from '../controller/push/ca.ts';
import { type PushServer, startPushServer } from '../controller/push/server.ts';
import { type FollowedController, followController } from '../extproc/sidecar/follow.ts';
import { createLog } from '../runtime/log.ts';

const log = createLog({ level: 'silent' });
const names = ['tallygate-controller'];
const root = mkdtempSync(join(tmpdir(), 'push-'));
const closing: (() => unknown)[] = [];
after(async () => {
  await Promise.all(closing.map((close) => close()));
  rmSync(root, { recursive: true });
});

const DAY_MS = 86_400_000;
const authority = await renewCa(undefined, Date.now());
const certificate = await issueServerCertificate(authority, names, Date.now());

/** The folder of one pod's files. */
function newPod(ca = authority.certificates, token = 'a.good.token'): string {
  const folder = mkdtempSync(join(root, 'pod-'));
  writeFileSync(join(folder, 'ca.crt'), ca);
  writeFileSync(join(folder, 'token'), `${token}\n`);
  return folder;
}

interface Sidecar extends FollowedController {
  readonly applied: string[];
}

function follow(
  port: number,
  folder: string,
  apply: (policy: GatewayPolicy) => void = () => {},
  waitForRoutes: (routeNames: readonly string[]) => Promise<void> = async () => {},
): Sidecar {
  const applied: string[] = [];
  const followed = followController({
    controller: `127.0.0.1:${port}`,
    tokenPath: join(folder, 'token'),
    caPath: join(folder, 'ca.crt'),
    programVersion: '0.1.0',
    folder,
    apply(policy) {
      apply(policy);
      applied.push(policy.version);
    },
    waitForRoutes,
    log,
  });
  closing.push(() => followed.close());
  return Object.assign(followed, { applied });
}

async function serve(
  options: Partial<Parameters<typeof startPushServer>[0]> & { readonly port?: number } = {},
): Promise<PushServer> {
  const server = await startPushServer({
    address: { host: '127.0.0.1', port: options.port ?? 0 },
    credentials: () => certificate,
    review: async (token) =>
      token === 'a.good.token' ? { podName: 'pod', podUid: 'uid', namespace: 'default' } : undefined,
    fleetOf: () => 'fleet',
    log,
    ...options,
  });
  closing.push(() => server.close());
  return server;
}

const policy = (version: string, more: object = {}) =>
  ({
    formatVersion: 4,
    version,
    virtualHosts: [],
    backends: [],
    quotas: [],
    accessPolicies: [],
    apiKeyShards: [],
    ...more,
  }) as GatewayPolicy;
const fleet = (version: string, more?: object) => new Map([['fleet', policy(version, more)]]);

async function until(holds: () => boolean, what: string, timeoutMs = 8000): Promise<void> {
  const start = Date.now();
  while (!holds()) {
    assert.ok(Date.now() - start < timeoutMs, what);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const acknowledged = (server: PushServer) => server.sidecars()[0]?.acknowledged;
const has = (server: PushServer, epoch: number, counter: number, version: string) => () => {
  const got = acknowledged(server);
  return got?.epoch === epoch && got.counter === counter && got.version === version;
};

test('a policy reaches the sidecar and its answer the controller within a second', async () => {
  const server = await serve();
  server.setLeader(1);
  const sidecar = follow(server.port, newPod());
  server.publish(fleet('v1'));
  await until(has(server, 1, 1, 'v1'), 'the first');
  const start = performance.now();
  for (let i = 2; i <= 20; i++) {
    server.publish(fleet(`v${i}`));
    await until(has(server, 1, i, `v${i}`), 'the next');
  }
  assert.ok(performance.now() - start < 4000);
  assert.equal(sidecar.applied.length, 20);
  assert.deepEqual(sidecar.details(), { policy: 'v20', controller: 'connected' });
});

test('an unusable policy is refused with the reason, and the last good policy stays in force', async () => {
  const server = await serve();
  server.setLeader(1);
  const sidecar = follow(server.port, newPod());
  server.publish(fleet('v1'));
  await until(has(server, 1, 1, 'v1'), 'a good one');
  const quota = { id: 'app/teams/money', limit: { type: 'Money', amount: 5 } };
  server.publish(fleet('v2', { quotas: [quota] }));
  await until(() => server.sidecars()[0]?.refused !== undefined, 'refused');
  const { version, reason } = server.sidecars()[0]!.refused!;
  assert.deepEqual(version, { epoch: 1, counter: 2, version: 'v2' });
  assert.match(reason, /^line 2: quota\.limit\.type of app\/teams\/money: Invalid option/);
  assert.equal(sidecar.details()['policy'], 'v1');
  assert.equal(sidecar.details()['refusal'], reason);
  server.publish(fleet('v3'));
  await until(has(server, 1, 3, 'v3'), 'the next good one is taken');
  assert.equal(server.sidecars()[0]?.refused, undefined);
  assert.equal(sidecar.details()['refusal'], undefined);
});

test('a change of backend waits until Envoy has the route; a new route or limit does not', async () => {
  const server = await serve();
  server.setLeader(1);
  const rule = (route: string, id: string) => ({
    route,
    name: 'all',
    models: ['*'],
    headers: [],
    quotas: [],
    requestLimits: {},
    access: [],
    maxRequestBodyBytes: 1,
    targets: [{ id, backend: 'a/b', weight: 1, priority: 0 }],
  });
  const virtualHosts = (
    ...rules: readonly { readonly route: string; readonly targets: readonly { readonly id: string }[] }[]
  ) => {
    const routeNames = rules.flatMap(({ targets }) => targets.map(({ id }) => `envoy ${id}`));
    return { virtualHosts: [{ routeNames, rules, passthrough: [], access: [] }] };
  };
  const asked: (readonly string[])[] = [];
  let goOn = () => {};
  const sidecar = follow(server.port, newPod(), undefined, (routeNames) => {
    asked.push(routeNames);
    return new Promise((resolve) => {
      goOn = resolve;
    });
  });
  server.publish(fleet('v1', virtualHosts(rule('a/r', 'a/r/x'))));
  await until(has(server, 1, 1, 'v1'), 'the first waits for nothing');
  server.publish(fleet('v2', virtualHosts(rule('a/r', 'a/r/x'), rule('a/new', 'a/new/y'))));
  await until(has(server, 1, 2, 'v2'), 'a new route waits for nothing');
  assert.deepEqual(asked, []);
  server.publish(fleet('v3', virtualHosts(rule('a/r', 'a/r/z'), rule('a/new', 'a/new/y'))));
  await until(() => asked.length === 1, 'asked');
  assert.deepEqual(asked, [['envoy a/r/z']]);
  server.publish(fleet('v4', virtualHosts(rule('a/r', 'a/r/z'))));
  assert.deepEqual(sidecar.applied, ['v1', 'v2']);
  assert.equal(acknowledged(server)?.version, 'v2', 'what is not in force is not acknowledged');
  goOn();
  await until(has(server, 1, 4, 'v4'), 'the newest');
  assert.deepEqual(sidecar.applied, ['v1', 'v2', 'v3', 'v4']);
  assert.equal(asked.length, 1);
});

test('the policy stays in force while the controller restarts', async () => {
  const server = await serve();
  server.setLeader(1);
  server.publish(fleet('v1'));
  const sidecar = follow(server.port, newPod());
  await until(has(server, 1, 1, 'v1'), 'connected');
  const { port } = server;
  await server.close();
  await until(() => sidecar.details()['controller'] !== 'connected', 'away');
  assert.equal(sidecar.details()['policy'], 'v1');
  const next = await serve({ port });
  next.setLeader(2);
  next.publish(fleet('v1'));
  await until(has(next, 2, 1, 'v1'), 'back');
  assert.deepEqual(sidecar.applied, ['v1'], 'the same content is not applied again');
  next.publish(fleet('v2'));
  await until(has(next, 2, 2, 'v2'), 'the new one');
});

test('a sidecar finds the leading replica behind a shared address', async () => {
  const [leader, other] = [await serve(), await serve()];
  leader.setLeader(1);
  leader.publish(fleet('v1'));
  let connections = 0;
  const address = createServer((socket) => {
    const replica = connect((++connections > 8 ? leader : other).port, '127.0.0.1');
    for (const each of [socket, replica]) {
      each.on('error', () => {});
    }
    socket.pipe(replica).pipe(socket);
    socket.on('close', () => replica.destroy());
  });
  await new Promise<void>((resolve) => address.listen(0, '127.0.0.1', resolve));
  closing.push(() => address.close());
  const start = performance.now();
  follow((address.address() as AddressInfo).port, newPod());
  await until(has(leader, 1, 1, 'v1'), 'found');
  assert.ok(performance.now() - start < 5000);
});

test('a policy of an earlier leader is refused', async () => {
  const server = await serve();
  server.setLeader(5);
  server.publish(fleet('v5'));
  const folder = newPod();
  const sidecar = follow(server.port, folder);
  await until(has(server, 5, 1, 'v5'), 'connected');
  const { port } = server;
  await server.close();
  const past = await serve({ port });
  past.setLeader(4);
  past.publish(fleet('v4'));
  await until(() => past.sidecars()[0]?.refused !== undefined, 'refused');
  assert.match(past.sidecars()[0]!.refused!.reason, /older than the policy in force \(5\/1\)/);
  assert.deepEqual(sidecar.applied, ['v5']);
  past.setLeader(6);
  past.publish(fleet('v6'));
  await until(has(past, 6, 1, 'v6'), 'the new leader is');
});

test('a leader with a late clock learns the epoch of a sidecar and raises its own', async () => {
  const folder = newPod();
  const ahead = await serve();
  ahead.setLeader(2_000_000);
  ahead.publish(fleet('old'));
  const sidecar = follow(ahead.port, folder);
  await until(has(ahead, 2_000_000, 1, 'old'), 'connected');
  const { port } = ahead;
  await ahead.close();
  const seen: number[] = [];
  const server: PushServer = await serve({
    port,
    outdated(epoch) {
      seen.push(epoch);
      // Like the controller after it has written its Lease.
      setImmediate(() => {
        server.setLeader(epoch + 1);
        server.publish(fleet('new'));
      });
    },
  });
  server.setLeader(1_000_000);
  server.publish(fleet('new'));
  await until(has(server, 2_000_001, 1, 'new'), 'the new policy is in force');
  assert.deepEqual(seen, [2_000_000]);
  assert.deepEqual(sidecar.applied, ['old', 'new']);
});

test('a restarted sidecar has its last policy, even without a controller', async () => {
  const server = await serve();
  server.setLeader(3);
  server.publish(fleet('v1'));
  const folder = newPod();
  const before = follow(server.port, folder);
  await until(has(server, 3, 1, 'v1'), 'connected');
  server.setLeader(4);
  server.publish(fleet('v1'));
  await until(has(server, 4, 1, 'v1'), 'the version alone is kept too');
  await before.close();
  await server.close();
  const alone = follow(server.port, folder);
  await until(() => alone.applied.length === 1, 'without the controller');
  assert.equal(alone.details()['policy'], 'v1');
  await alone.close();
  const late = await serve({ port: server.port });
  late.setLeader(3);
  late.publish(fleet('v0'));
  const again = follow(server.port, folder);
  await until(() => late.sidecars()[0]?.refused !== undefined, 'the epoch is remembered');
  await again.close();
  writeFileSync(join(folder, 'policy.jsonl'), '{"formatVersion":');
  const broken = follow(server.port, folder);
  assert.deepEqual(broken.applied, [], 'what is broken counts as absent');
  await until(() => broken.applied.length === 1, 'and is replaced');
  await broken.close();
  assert.match(readFileSync(join(folder, 'policy.jsonl'), 'utf8'), /"version":"v0"/);
});

test('token and CA files are read again at each attempt', async () => {
  let current = certificate;
  const server = await serve({ credentials: () => current });
  server.setLeader(1);
  server.publish(fleet('v1'));
  const folder = newPod(undefined, 'a.bad.token');
  const sidecar = follow(server.port, folder);
  await until(() => /UNAUTHENTICATED/.test(sidecar.details()['controller']!), 'refused');
  writeFileSync(join(folder, 'token'), 'a.good.token');
  await until(has(server, 1, 1, 'v1'), 'connected');

  const rotated = await rotateCa(authority, Date.now() - 1.5 * DAY_MS);
  current = await issueServerCertificate(rotated, names, Date.now());
  server.setLeader(2);
  server.publish(fleet('v2'));
  await until(() => /certificate/.test(sidecar.details()['controller']!), 'the new authority is not trusted yet');
  assert.equal(server.sidecars().length, 0);
  writeFileSync(join(folder, 'ca.crt'), rotated.certificates);
  await until(has(server, 2, 1, 'v2'), 'connected');
});

test('an expired server certificate is refused', async () => {
  const expired = await issueServerCertificate(authority, names, Date.now() - 2 * DAY_MS);
  const server = await serve({ credentials: () => expired });
  server.setLeader(1);
  const sidecar = follow(server.port, newPod());
  await until(() => /expired/.test(sidecar.details()['controller']!), 'expired');
  assert.equal(server.sidecars().length, 0);
});

test('a config check is reported at once, and again to a new leader', async () => {
  const server = await serve();
  server.setLeader(1);
  server.publish(fleet('v1'));
  const sidecar = follow(server.port, newPod());
  await until(has(server, 1, 1, 'v1'), 'connected');
  const version = { epoch: 1, counter: 1, version: 'v1' };
  const none = { total: 0, names: [] };
  const missing = { total: 1, names: ['r'] };
  sidecar.reportConfigCheck({
    version,
    expected: 3,
    missing,
    unfiltered: none,
    failing: none,
    listenersWithoutFilter: none,
  });
  await until(() => server.sidecars()[0]?.configCheck?.missing?.names[0] === 'r', 'told');
  server.setLeader(2);
  await until(() => server.sidecars()[0]?.configCheck?.expected === 3, 'told again');
});

test('a request for keys reaches the controller, and a flood of them is bounded', async () => {
  const requested: string[] = [];
  const server = await serve({ keysRequested: (url) => requested.push(url) });
  server.setLeader(1);
  const sidecar = follow(server.port, newPod());
  server.publish(fleet('v1'));
  await until(has(server, 1, 1, 'v1'), 'connected');
  sidecar.requestKeys('https://issuer.example/jwks');
  await until(() => requested.length === 1, 'arrived');
  assert.deepEqual(requested, ['https://issuer.example/jwks']);
  for (let i = 0; i < 1000; i++) {
    sidecar.requestKeys(`https://issuer.example/${i}`);
  }
  server.publish(fleet('v2'));
  await until(has(server, 1, 2, 'v2'), 'all have arrived');
  assert.equal(requested.length, 100);
});

test('a peer that disappears silently is noticed', { timeout: 60_000 }, async () => {
  const server = await serve();
  server.setLeader(1);
  server.publish(fleet('v1'));
  const sockets: Socket[] = [];
  const between = createServer((near) => {
    const far = connect(server.port, '127.0.0.1');
    sockets.push(
      near.on('error', () => {}),
      far.on('error', () => {}),
    );
    near.pipe(far);
    far.pipe(near);
  });
  await new Promise<void>((resolve) => between.listen(0, '127.0.0.1', resolve));
  closing.push(() => {
    for (const socket of sockets) {
      socket.destroy();
    }
    between.close();
  });
  const sidecar = follow((between.address() as AddressInfo).port, newPod());
  await until(has(server, 1, 1, 'v1'), 'connected');
  between.close();
  for (const socket of sockets) {
    socket.unpipe().pause();
  }
  await until(() => server.sidecars().length === 0, 'the controller notices', 25_000);
  await until(() => sidecar.details()['controller'] !== 'connected', 'the sidecar notices', 25_000);
  assert.equal(sidecar.details()['policy'], 'v1');
});

test('the program is ready once it has a policy, and at once after a restart', {
  timeout: 60_000,
}, async () => {
  const server = await serve();
  const folder = newPod();
  const admin = join(folder, 'admin.sock');
  const start = () => {
    const child = spawn(
      process.execPath,
      [
        join(import.meta.dirname, 'main.ts'),
        ...['extproc', '--socket', join(folder, 'extproc.sock'), '--controller', `127.0.0.1:${server.port}`],
        ...['--token', join(folder, 'token'), '--ca', join(folder, 'ca.crt'), '--envoy-admin', '127.0.0.1:1'],
        ...['--metrics', `unix:${admin}`],
      ],
      { stdio: 'ignore' },
    );
    closing.push(() => child.kill('SIGKILL'));
    return child;
  };
  const ready = () =>
    new Promise<{ readonly ready?: boolean; readonly policy?: string; readonly controller?: string }>((resolve) => {
      const asked = request({ socketPath: admin, path: '/readyz' }, async (response) => {
        response.setEncoding('utf8');
        resolve(JSON.parse((await response.toArray()).join('')));
      });
      asked.on('error', () => resolve({}));
      asked.end();
    });
  const first = start();
  for (let said = await ready(); !/another replica/.test(said.controller ?? ''); said = await ready()) {
    assert.notEqual(said.ready, true);
  }
  server.setLeader(1);
  server.publish(fleet('v1'));
  while ((await ready()).policy !== 'v1') {}
  await until(() => server.sidecars()[0]?.configCheck !== undefined, 'what cannot be proved is told', 15_000);
  assert.match(server.sidecars()[0]!.configCheck!.unreadable, /ECONNREFUSED/);
  first.kill('SIGKILL');
  await new Promise((resolve) => first.once('exit', resolve));
  await server.close();
  const second = start();
  let said = await ready();
  while (said.ready === undefined) {
    said = await ready();
  }
  assert.equal(said.ready, true);
  assert.equal(said.policy, 'v1');
  second.kill('SIGTERM');
  assert.equal(await new Promise((resolve) => second.once('exit', resolve)), 0);
});
