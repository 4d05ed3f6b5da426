/**
 * Checks that Envoy Gateway accepts the generated objects and names Envoy's routes as the policy
 * does, because extproc finds a virtual host by that name.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseAllDocuments, stringify } from 'yaml';
import { asObject, clusterOf, exampleOptions } from './testing.ts';
import { translateCluster } from './translate-cluster.ts';

const name = 'translate-accepted';

const cases = ['acceptance', 'namespaces', 'shards', 'teams'].map((example) => {
  const input = renamed(readFileSync(new URL(`testdata/${example}.in.yaml`, import.meta.url), 'utf8'), example);
  const plan = translateCluster(clusterOf(input.map(text).join('---\n')), exampleOptions);
  const objects = [...plan.objects, ...plan.secrets.map(asObject)].map((each) => ({
    ...each,
    // Objects whose owners do not exist would be garbage collected.
    metadata: { ...each.metadata, ownerReferences: [] },
  }));
  return { example, input, plan, objects };
});

const namespaces = [...new Set(cases.flatMap(({ objects, input }) => [...input, ...objects].map(namespaceOf)))].filter(
  (each) => each !== undefined,
);

const gatewayClass = {
  apiVersion: 'gateway.networking.k8s.io/v1',
  kind: 'GatewayClass',
  metadata: { name },
  spec: {
    controllerName: 'gateway.envoyproxy.io/gatewayclass-controller',
    parametersRef: { group: 'gateway.envoyproxy.io', kind: 'EnvoyProxy', name, namespace: namespaces[0] ?? '' },
  },
};

/** Its proxies start in 2 s instead of 12. */
const envoyProxy = {
  apiVersion: 'gateway.envoyproxy.io/v1alpha1',
  kind: 'EnvoyProxy',
  metadata: { name, namespace: namespaces[0] ?? '' },
  spec: {
    provider: {
      type: 'Kubernetes',
      kubernetes: {
        envoyDeployment: {
          patch: {
            type: 'StrategicMerge',
            value: {
              spec: {
                template: {
                  spec: {
                    containers: ['envoy', 'shutdown-manager'].map((container) => ({
                      name: container,
                      startupProbe: { periodSeconds: 1 },
                    })),
                  },
                },
              },
            },
          },
        },
      },
    },
  },
};

type Fields = Readonly<Record<string, unknown>>;

before(() => {
  // Objects of an earlier run may still be terminating.
  kubectl(['delete', '--ignore-not-found', '--timeout=50s', 'namespace', ...namespaces]);
  apply(namespaces.map((each) => namespaceObject(each)));
  apply([envoyProxy, gatewayClass]);
  // Envoy Gateway does not read Tallygate's kinds.
  apply(
    cases.flatMap(({ input }) => input.filter(({ kind }) => ['Namespace', 'Gateway', 'Service'].includes(`${kind}`))),
  );
  apply(cases.flatMap(({ objects }) => objects));
});

after(() => {
  for (const { child } of forwards) {
    child.kill();
  }
  kubectl(['delete', '--wait=false', '--ignore-not-found', 'gatewayclass', name]);
  kubectl(['delete', '--wait=false', '--ignore-not-found', 'namespace', ...namespaces]);
});

for (const { example, plan } of cases) {
  test(`${example}: Envoy Gateway accepts the routes and policies`, async () => {
    await until(60_000, () => {
      const own = namespaces.filter((each) => each.startsWith(`${name}-${example}-`));
      const states = own.flatMap((namespace) => conditionsIn(namespace));
      assert.ok(states.length >= plan.generatedRoutes.length);
      for (const { what, conditions } of states) {
        assert.ok(
          conditions.some(({ type }) => type === 'Accepted'),
          `${what} is not looked at`,
        );
        for (const { type, status, message } of conditions) {
          // The Service of the test has no pods.
          if (type !== 'BackendsAvailable') {
            assert.equal(status, 'True', `${what} ${type}: ${message}`);
          }
        }
      }
    });
  });

  test(`${example}: Envoy has exactly the routes that the policy names`, async () => {
    const [gateway = ''] = plan.gateways;
    const expected = plan.policyFor([gateway]).virtualHosts.flatMap(({ routeNames }) => routeNames);
    await until(90_000, async () => {
      const dump = await fetch(
        `http://127.0.0.1:${await adminPort(gateway)}/config_dump?resource=dynamic_route_configs`,
      );
      const found = [...routesOf(await dump.json())];
      assert.deepEqual(found.map((each) => each.name).toSorted(), expected.toSorted());
      for (const route of found) {
        const filters = Object.keys(route.typed_per_filter_config ?? {});
        assert.ok(
          filters.some((each) => each.startsWith('envoy.filters.http.ext_proc/')),
          `${route.name} does not pass extproc`,
        );
      }
    });
  });
}

/** Moves objects to separate namespaces for each test. */
function renamed(yaml: string, example: string): readonly Fields[] {
  const prefix = `${name}-${example}-`;
  const walk = (value: unknown, key: string): unknown => {
    if (typeof value === 'string') {
      return key === 'namespace' ? prefix + value : key === 'gatewayClassName' ? name : value;
    }
    if (Array.isArray(value)) {
      return value.map((each) => walk(each, ''));
    }
    if (typeof value !== 'object' || value === null) {
      return value;
    }
    return Object.fromEntries(Object.entries(value).map(([member, each]) => [member, walk(each, member)]));
  };
  return parseAllDocuments(yaml).map((document) => {
    const { metadata, ...rest } = walk(document.toJS(), '') as { readonly kind: string; readonly metadata: Fields };
    // The API server sets its own.
    const object = { ...rest, metadata: { ...metadata, uid: undefined } as Fields };
    if (object.kind === 'Namespace') {
      return { ...object, metadata: { ...object.metadata, name: prefix + object.metadata['name'] } };
    }
    if (object.kind === 'Service') {
      return { ...object, spec: { ports: [{ port: 8080 }], selector: { app: 'none' } } };
    }
    return object;
  });
}

function namespaceOf({ metadata }: Fields): string | undefined {
  return (metadata as { readonly namespace?: string }).namespace;
}

function namespaceObject(namespace: string): Fields {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } };
}

function text(object: object): string {
  return stringify(object, { aliasDuplicateObjects: false });
}

function kubectl(arguments_: readonly string[], input = '') {
  return spawnSync('kubectl', arguments_, { input, encoding: 'utf8', timeout: 60_000, maxBuffer: 64 * 1024 * 1024 });
}

function apply(objects: readonly object[]): void {
  const { status, stderr } = kubectl(
    ['apply', '--server-side', '--force-conflicts', '--field-manager=tallygate', '-f', '-'],
    // JSON, because kubectl reads YAML 1.1, where yes is a boolean.
    JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }),
  );
  assert.equal(status, 0, stderr);
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly message: string;
}

interface WithStatus {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly status?: {
    readonly conditions?: readonly Condition[];
    readonly parents?: readonly { readonly conditions: readonly Condition[] }[];
    readonly ancestors?: readonly { readonly conditions: readonly Condition[] }[];
  };
}

function conditionsIn(namespace: string) {
  const kinds =
    'httproutes,backends.gateway.envoyproxy.io,backendtlspolicies,backendtrafficpolicies,envoyextensionpolicies';
  const { status, stdout, stderr } = kubectl(['get', kinds, '-n', namespace, '-o', 'json']);
  assert.equal(status, 0, stderr);
  const { items } = JSON.parse(stdout) as { readonly items: readonly WithStatus[] };
  return items.map(({ kind, metadata, status: state = {} }) => ({
    what: `${kind} ${namespace}/${metadata.name}`,
    conditions: [
      ...(state.conditions ?? []),
      ...[...(state.parents ?? []), ...(state.ancestors ?? [])].flatMap(({ conditions }) => conditions),
    ],
  }));
}

interface EnvoyRoute {
  readonly name: string;
  readonly typed_per_filter_config?: Fields;
}

function* routesOf(dump: unknown): Generator<EnvoyRoute> {
  const { configs = [] } = dump as {
    readonly configs?: readonly {
      readonly route_config: { readonly virtual_hosts?: readonly { readonly routes: readonly EnvoyRoute[] }[] };
    }[];
  };
  for (const { route_config } of configs) {
    for (const host of route_config.virtual_hosts ?? []) {
      yield* host.routes;
    }
  }
}

const forwards: { readonly gateway: string; readonly child: ChildProcess; readonly port: string }[] = [];

/** Envoy's admin listens on the loopback of its pod. */
async function adminPort(gateway: string): Promise<string> {
  const known = forwards.find((each) => each.gateway === gateway);
  if (known !== undefined) {
    return known.port;
  }
  const [namespace, bare] = gateway.split('/');
  const selector = `gateway.envoyproxy.io/owning-gateway-namespace=${namespace},gateway.envoyproxy.io/owning-gateway-name=${bare}`;
  const found = kubectl(['get', 'pods', '-A', '-l', selector, '--field-selector=status.phase=Running', '-o', 'json']);
  const { items } = JSON.parse(found.stdout) as {
    readonly items: readonly { readonly metadata: { readonly name: string; readonly namespace: string } }[];
  };
  const pod = items[0]?.metadata;
  assert.ok(pod, `${gateway} has no proxy`);
  const child = spawn('kubectl', ['port-forward', '-n', pod.namespace, `pod/${pod.name}`, ':19000']);
  const port = await new Promise<string>((resolve, reject) => {
    child.once('exit', () => reject(new Error('the port is not forwarded')));
    child.stdout.on('data', (chunk) => {
      const match = /127\.0\.0\.1:(\d+)/.exec(String(chunk));
      if (match?.[1] !== undefined) {
        resolve(match[1]);
      }
    });
  });
  forwards.push({ gateway, child, port });
  return port;
}

async function until(timeoutMs: number, check: () => void | Promise<void>): Promise<void> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    try {
      await check();
      return;
    } catch (error) {
      if (performance.now() > end) {
        throw error;
      }
      await sleep(1000);
    }
  }
}
