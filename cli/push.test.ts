/** Policies on their way from the controller to a sidecar. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ThresholdReport } from '../contract/budget-report.ts';
import type { GatewayPolicy } from '../contract/policy.ts';
import type { PushServer, PushServerOptions } from '../controller/push/server.ts';
import type { PendingConfig } from '../extproc/sidecar/pending-config.ts';
import { acknowledged, fleet, follow, has, newPod, serve, until } from './testing/push.ts';

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
  assert.match(reason, /^line 2: quota\.limit\.type of app\/teams\/money: Invalid discriminator value/);
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
  const asked: PendingConfig[] = [];
  let goOn = () => {};
  const sidecar = follow(server.port, newPod(), undefined, (pending) => {
    asked.push(pending);
    return new Promise<void>((resolve) => {
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
  assert.deepEqual(asked, [{ routes: ['envoy a/r/z'], attemptRoutes: [], clusters: [] }]);
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

test('a change is sent as changed lines; a sidecar with another text gets the whole policy', async () => {
  const server = await serve();
  server.setLeader(1);
  const host = (name: string) => ({ routeNames: [name], rules: [], passthrough: [], access: [] });
  const hosts = Array.from({ length: 50 }, (_, index) => host(`route ${index} ${'x'.repeat(1000)}`));
  const folder = newPod();
  let applied: GatewayPolicy | undefined;
  const take = (next: GatewayPolicy) => {
    applied = next;
  };
  const first = follow(server.port, folder, take);
  server.publish(fleet('v1', { virtualHosts: hosts }));
  await until(has(server, 1, 1, 'v1'), 'whole');
  const changed = hosts.with(7, host('another route'));
  server.publish(fleet('v2', { virtualHosts: changed }));
  await until(has(server, 1, 2, 'v2'), 'changed');
  assert.deepEqual(applied?.virtualHosts, changed);
  await first.close();

  const path = join(folder, 'policy.jsonl');
  writeFileSync(path, readFileSync(path, 'utf8').replaceAll('"access":[]', '"access": []'));
  server.publish(fleet('v3', { virtualHosts: hosts }));
  follow(server.port, folder, take);
  await until(has(server, 1, 3, 'v3'), 'whole after the changes did not fit');
  assert.deepEqual(applied?.virtualHosts, hosts);
  assert.equal(server.sidecars()[0]?.refused, undefined);
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

const alert = (percent: number): ThresholdReport => ({
  quota: 'default/budgets/month',
  key: [{ type: 'Tenant', value: 'search' }],
  type: 'TotalTokens',
  window: { type: 'Lifetime' },
  spent: '50',
  held: '0',
  limit: '100',
  percent,
  atMs: 1,
});

test('an alert is sent again to each next leader until one has stored it', async () => {
  const raised: string[] = [];
  let stores = false;
  const alertRaised: PushServerOptions['alertRaised'] = ({ percent }, fleetName, stored) => {
    raised.push(`${percent} ${fleetName}`);
    if (stores) {
      stored();
    }
  };
  const server = await serve({ alertRaised });
  const sidecar = follow(server.port, newPod());
  sidecar.reportAlert(alert(50));
  server.setLeader(1);
  server.publish(fleet('v1'));
  await until(() => raised.length === 1, 'raised');
  sidecar.reportAlert(alert(80));
  await until(() => raised.length === 2, 'raised');
  stores = true;
  server.setLeader(2);
  await until(() => raised.length === 4, 'raised again');
  server.publish(fleet('v2'));
  await until(has(server, 2, 1, 'v2'), 'in force, after the answers');
  server.setLeader(3);
  server.publish(fleet('v3'));
  await until(has(server, 3, 1, 'v3'), 'connected again');
  assert.deepEqual(
    raised.map((each) => each.split(' ')[0]),
    ['50', '80', '50', '80'],
  );
});

test('the fullest budgets reach the controller on each new stream', async () => {
  const server = await serve();
  server.setLeader(1);
  const { percent: _, atMs: __, ...budget } = alert(50);
  follow(server.port, newPod(), undefined, undefined, () => [budget]);
  server.publish(fleet('v1'));
  await until(() => server.sidecars()[0]?.budgets.length === 1, 'reported');
  assert.deepEqual(server.sidecars()[0]?.budgets, [budget]);
});

test('what rests reaches the controller when it changes', async () => {
  const server = await serve();
  server.setLeader(1);
  const rest = { backend: 'app/azure', model: 'gpt-4o', cause: 'RateLimited', untilMs: Date.now() + 60_000 } as const;
  let resting: readonly (typeof rest)[] = [];
  const sidecar = follow(server.port, newPod(), undefined, undefined, undefined, () => resting);
  server.publish(fleet('v1'));
  await until(() => server.sidecars()[0]?.acknowledged !== undefined, 'acknowledged');
  resting = [rest];
  await until(() => server.sidecars()[0]?.rests.length === 1, 'reported');
  assert.deepEqual(server.sidecars()[0]?.rests, [rest]);
  resting = [];
  await until(() => server.sidecars()[0]?.rests.length === 0, 'healthy again');
  await sidecar.close();
});
