/**
 * Changes users' objects in random order, edits and removes generated objects by hand, and kills
 * the controller. In the end, the cluster has exactly the objects of translate. Uses a real API
 * server.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { customResourceDefinition } from '../crds/custom-resource.ts';
import { kinds } from '../crds/kinds.ts';
import { createLog } from '../runtime/log.ts';
import { translateCluster } from '../translate/kubernetes/translate-cluster.ts';
import { ApiError, KubeClient } from './api/client.ts';
import { findCredentials } from './api/credentials.ts';
import { difference, stamped } from './api/difference.ts';
import { type KubeObject, keyOf } from './api/object.ts';
import { type Resource, resourcePath } from './api/resource.ts';
import { gateways, generatedResources, httpRoutes, namespaces, ownResources, secrets } from './resources.ts';
import { type ClusterSources, openSources } from './sources.ts';

const log = createLog({ level: 'silent', destination: { write: () => {} } });
const system = 'converge-system';
const app = 'converge-app';
const routeSecret = 'of the test';
const [route, backend, quotaPolicy] = ownResources as [Resource, Resource, Resource];

let client: KubeClient;
let sources: ClusterSources;
let controller: ChildProcess | undefined;

function startController(): void {
  const main = fileURLToPath(new URL('../cli/main.ts', import.meta.url));
  const args = ['controller', '--namespace', system, '--watch-namespaces', app, '--proxy-namespaces', app];
  controller = spawn(process.execPath, [main, ...args, '--listen', '127.0.0.1:0', '--metrics', '127.0.0.1:0'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, TALLYGATE_LOG_LEVEL: 'fatal' },
  });
}

function manifest({ apiVersion, kind }: Resource, name: string, content: object, namespace = app): KubeObject {
  return { apiVersion, kind, metadata: { name, namespace }, ...content };
}

/** Whoever is not the controller. */
async function put(resource: Resource, object: KubeObject): Promise<void> {
  const path = resourcePath(resource, object.metadata.namespace, object.metadata.name);
  await client.call(`${path}?fieldManager=a-user&force=true`, {
    method: 'PATCH',
    body: object,
    contentType: 'application/apply-patch+yaml',
  });
}

async function removeNow(resource: Resource, namespace: string, name: string): Promise<void> {
  try {
    await client.call(resourcePath(resource, namespace, name), { method: 'DELETE' });
  } catch (error) {
    if (!(error instanceof ApiError && error.code === 404)) {
      throw error;
    }
  }
}

/** A kind is there some moments after its definition. */
async function servedNow(resource: Resource): Promise<void> {
  for (const endMs = performance.now() + 30_000; ; await sleep(50)) {
    try {
      await client.call(resourcePath(resource, 'default'));
      return;
    } catch (error) {
      if (!(error instanceof ApiError && error.code === 404) || performance.now() > endMs) {
        throw error;
      }
    }
  }
}

before(async () => {
  client = new KubeClient(await findCredentials(process.env));
  for (const each of kinds) {
    await put(definitions, customResourceDefinition(each) as unknown as KubeObject);
  }
  for (const resource of ownResources) {
    await servedNow(resource);
  }
  for (const name of [system, app]) {
    await put(namespaces, manifest(namespaces, name, {}, ''));
  }
  // The controller keeps it, and creates its CA beside it.
  await put(secrets, manifest(secrets, 'tallygate-ca', { stringData: { routes: routeSecret } }, system));
  await put(gateways, manifest(gateways, 'ai', { spec: { gatewayClassName: 'converge', listeners } }));
  const controllerName = 'gateway.envoyproxy.io/gatewayclass-controller';
  // Prevents proxies: Envoy Gateway accepts a class only if its parameters exist.
  const parametersRef = { group: 'gateway.envoyproxy.io', kind: 'EnvoyProxy', name: 'absent', namespace: system };
  await put(gatewayClass, manifest(gatewayClass, 'converge', { spec: { controllerName, parametersRef } }, ''));
  sources = openSources({ client, namespaces: [app], proxyNamespaces: [], changed: () => {}, log });
  startController();
});

after(async () => {
  controller?.kill('SIGKILL');
  sources?.close();
  await removeNow(gatewayClass, '', 'converge');
  for (const name of [app, system]) {
    await removeNow(namespaces, '', name);
  }
  client?.close();
});

const definitions: Resource = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  plural: 'customresourcedefinitions',
  clusterWide: true,
};
const gatewayClass: Resource = {
  apiVersion: 'gateway.networking.k8s.io/v1',
  kind: 'GatewayClass',
  plural: 'gatewayclasses',
  clusterWide: true,
};
const listeners = [
  { name: 'http', port: 8080, protocol: 'HTTP' },
  { name: 'team', port: 8081, protocol: 'HTTP', hostname: '*.example.com' },
];

const name = fc.constantFrom('a', 'b', 'c');
const anyBackend = fc.record({ name, host: fc.constantFrom('one.example', 'two.example'), key: fc.option(name) });
const anyRoute = fc.record({
  name,
  backends: fc.uniqueArray(name, { minLength: 1, maxLength: 3 }),
  hostname: fc.option(fc.constantFrom('x.example.com', 'y.example.com', 'elsewhere.org')),
  models: fc.constantFrom(['*'], ['gpt-*'], ['gpt-4o', 'o3']),
});

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ type: fc.constant('route' as const), route: anyRoute }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('backend' as const), backend: anyBackend }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('secret' as const), name, value: fc.constantFrom('k1', 'k2') }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('policy' as const), name, target: name }) },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('remove' as const),
      name,
      of: fc.constantFrom<Resource>(route, backend, quotaPolicy, secrets),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('edit' as const), nth: fc.nat(20) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('tear' as const),
      kind: fc.nat(generatedResources.length - 1),
      nth: fc.nat(9),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('kill' as const) }) },
);

type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

async function act(one: Step): Promise<void> {
  switch (one.type) {
    case 'route': {
      const { backends, hostname, models } = one.route;
      const rules = [{ name: 'all', models, backendRefs: backends.map((each) => ({ name: each })) }];
      const spec = { parentRefs: [{ name: 'ai' }], ...(hostname && { hostnames: [hostname] }), rules };
      return put(route, manifest(route, one.route.name, { spec }));
    }
    case 'backend': {
      const { host, key } = one.backend;
      const credential = { type: 'APIKey', apiKey: { secretRef: { name: key, key: 'key' } } };
      const endpoint = { type: 'Hostname', hostname: { name: host, port: 443 } };
      return put(
        backend,
        manifest(backend, one.backend.name, { spec: { schema: 'OpenAI', endpoint, ...(key && { credential }) } }),
      );
    }
    case 'secret':
      return put(secrets, manifest(secrets, one.name, { stringData: { key: one.value } }));
    case 'policy': {
      const quotas = [{ name: 'q', limit: { type: 'Requests', amount: 5 }, window: { type: 'Lifetime' } }];
      const targetRefs = [{ group: 'tallygate.dev', kind: 'AIGatewayRoute', name: one.target }];
      return put(quotaPolicy, manifest(quotaPolicy, one.name, { spec: { targetRefs, quotas } }));
    }
    case 'remove':
      return removeNow(one.of, app, one.name);
    case 'edit': {
      const all = [...sources.managed('HTTPRoute').values()];
      const object = all[one.nth % Math.max(1, all.length)];
      if (object === undefined) {
        return;
      }
      const path = resourcePath(httpRoutes, app, object.metadata.name);
      const body = { spec: { hostnames: ['edited.example.com'], rules: [{ name: 'mine' }] } };
      await client
        .call(`${path}?fieldManager=kubectl-edit`, {
          method: 'PATCH',
          body,
          contentType: 'application/merge-patch+json',
        })
        .catch(gone);
      return;
    }
    case 'tear': {
      const resource = generatedResources[one.kind]!;
      const all = [...sources.managed(resource.kind).values()];
      const object = all[one.nth % Math.max(1, all.length)];
      if (object !== undefined) {
        await removeNow(resource, app, object.metadata.name);
      }
      return;
    }
    case 'kill':
      controller?.kill('SIGKILL');
      startController();
  }
}

function gone(error: unknown): void {
  if (!(error instanceof ApiError && error.code === 404)) {
    throw error;
  }
}

function wantedNow(): readonly KubeObject[] {
  sources.requestReferences();
  const plan = translateCluster(sources.world({ jwks: new Map(), tokens: new Map() }), {
    extprocSocket: '/run/tallygate/extproc.sock',
    routeSecret,
    identityNamespaces: [],
    reach: { clusterDomain: 'cluster.local', allowedDestinations: [] },
    sharesQuotas: false,
  });
  const derived = plan.secrets.map(({ metadata, type, data }) => {
    const credential = Buffer.from(data.credential.reveal()).toString('base64');
    return { apiVersion: 'v1', kind: 'Secret', metadata, type, data: { credential } };
  });
  return [...plan.objects, ...derived] as readonly KubeObject[];
}

/** Returns the differences from the wanted state. */
function faults(): readonly string[] {
  const wanted = wantedNow();
  const missing = sources.missing();
  if (missing.length > 0) {
    return [`not seen: ${missing.join()}`];
  }
  return generatedResources.flatMap(({ kind }) => {
    const own = new Map(wanted.filter((each) => each.kind === kind).map((each) => [keyOf(each.metadata), each]));
    const actual = [...sources.managed(kind)].filter(([key]) => key !== `${app}/tallygate-ca`);
    return [
      ...actual.filter(([key]) => !own.has(key)).map(([key]) => `${kind} ${key} is too many`),
      ...[...own].flatMap(([key, each]) => {
        const there = sources.managed(kind).get(key);
        const verdict = there === undefined ? 'absent' : difference(stamped(each), there);
        return verdict === 'none' ? [] : [`${kind} ${key}: ${verdict}`];
      }),
    ];
  });
}

/**
 * Compares with the result of a dry run that creates the wanted object, which also finds fields
 * that were left over.
 */
async function assertExact(): Promise<void> {
  for (const wanted of wantedNow()) {
    const resource = generatedResources.find(({ kind }) => kind === wanted.kind)!;
    const { namespace, name, labels } = wanted.metadata;
    const body = { ...wanted, metadata: { namespace, labels, generateName: 'dry-run-' } };
    const fresh = await client.call(`${resourcePath(resource, namespace)}?dryRun=All`, { method: 'POST', body });
    const there = sources.managed(resource.kind).get(keyOf(wanted.metadata));
    assert.deepEqual(content(there), content(fresh), `${resource.kind} ${namespace}/${name}`);
  }
}

function content(object: unknown): object {
  const { apiVersion: _1, kind: _2, metadata: _3, status: _4, ...rest } = object as KubeObject;
  return rest;
}

test('the cluster converges to the output of translate', { timeout: 240_000 }, async () => {
  let most = 0;
  const property = fc.asyncProperty(fc.array(step, { minLength: 8, maxLength: 30 }), async (steps) => {
    for (const one of steps) {
      await act(one);
    }
    const endMs = performance.now() + 40_000;
    for (let found = faults(); found.length > 0; found = faults()) {
      if (performance.now() > endMs) {
        assert.fail(found.join('\n'));
      }
      await sleep(100);
    }
    await assertExact();
    most = Math.max(most, sources.managed('HTTPRoute').size);
  });
  await fc.assert(property, { numRuns: 4, endOnFailure: true });
  assert.ok(most >= 3, 'routes were generated at all');
});
