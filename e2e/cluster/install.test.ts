/**
 * The chart on a real cluster: installation, rights, a proxy with its sidecar, an upgrade with new
 * CRDs, and an uninstallation that keeps users' objects.
 */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { waitFor } from '../data-plane/support/wait.ts';
import { CHART, helm, install, RELEASE, SYSTEM } from './support/helm.ts';
import { apply, CommandFailure, get, kubectl, waitUntil } from './support/kubectl.ts';
import { namespaceOf, removeNamespaces } from './support/namespaces.ts';
import { proxyPods } from './support/reach.ts';
import { backendOf, gatewayOf, routeOf } from './support/world.ts';

const TEAM = 'tge-install';
const OTHER = 'tge-other';
const ACCOUNT = `system:serviceaccount:${SYSTEM}:tallygate-controller`;
const kinds = ['aibackends', 'aigatewayroutes', 'aiquotapolicies'];

before(async () => {
  await helm('uninstall', RELEASE, '-n', SYSTEM, '--ignore-not-found', '--wait');
  await removeNamespaces(TEAM, OTHER);
  // The API server's own findings against the restricted pod security standard.
  await apply([
    namespaceOf(SYSTEM, { 'pod-security.kubernetes.io/enforce': 'restricted' }),
    namespaceOf(TEAM),
    namespaceOf(OTHER),
  ]);
  await install();
});
after(() => removeNamespaces(TEAM, OTHER));

async function may(verb: string, resource: string, ...where: readonly string[]): Promise<boolean> {
  try {
    return (await kubectl('auth', 'can-i', verb, resource, `--as=${ACCOUNT}`, ...where)).trim() === 'yes';
  } catch (error) {
    // The answer `no` has exit code 1.
    if (error instanceof CommandFailure && !error.stderr.includes('error:')) {
      return false;
    }
    throw error;
  }
}

/** Returns the header values that select generated routes. */
async function routeIds(): Promise<readonly string[]> {
  const { items } = await get('-n', TEAM, 'httproutes', '-l', 'tallygate.dev/route=chat');
  const found = JSON.stringify(items).matchAll(/"name":"x-tallygate-route","type":"Exact","value":"([^"]+)"/g);
  const ids = [...found].map(([, id = '']) => id).toSorted();
  assert.ok(ids.length > 0, JSON.stringify(items));
  return ids;
}

describe('installed', () => {
  it('two controllers are ready in a restricted namespace, and one at a time may be disrupted', async () => {
    const { status } = await get('-n', SYSTEM, 'deployment', 'tallygate-controller');
    assert.equal(status.readyReplicas, 2);
    const budget = await get('-n', SYSTEM, 'pdb', 'tallygate-controller');
    assert.equal(budget.spec.minAvailable, 1);
    const { items } = await get('-n', SYSTEM, 'pods', '-l', 'app.kubernetes.io/component=controller');
    for (const { status: pod } of items) {
      assert.equal(pod.containerStatuses[0].restartCount, 0);
    }
  });

  it('the CRDs are served, and the GatewayClass is accepted', async () => {
    for (const kind of kinds) {
      await waitUntil('condition=Established', [`crd/${kind}.tallygate.dev`]);
    }
    await waitUntil('condition=Accepted', ['gatewayclass/tallygate']);
  });

  it('the controller has the rights that it needs and no others', async () => {
    const allowed = [
      ['patch', 'httproutes.gateway.networking.k8s.io', '-n', OTHER],
      ['create', 'backends.gateway.envoyproxy.io', '-n', OTHER],
      ['patch', 'aibackends.tallygate.dev', '--subresource=status', '-n', OTHER],
      ['create', 'tokenreviews.authentication.k8s.io'],
      ['update', 'leases.coordination.k8s.io/tallygate-controller', '-n', SYSTEM],
    ] as const;
    const forbidden = [
      ['patch', 'aibackends.tallygate.dev', '-n', OTHER],
      ['patch', 'gateways.gateway.networking.k8s.io', '-n', OTHER],
      ['patch', 'envoyproxies.gateway.envoyproxy.io', '-n', OTHER],
      ['create', 'pods', '-n', OTHER],
      ['create', 'pods', '--subresource=exec', '-n', OTHER],
      ['delete', 'services', '-n', OTHER],
      ['update', 'leases.coordination.k8s.io', '-n', OTHER],
      ['update', 'leases.coordination.k8s.io/of-others', '-n', SYSTEM],
      ['delete', 'leases.coordination.k8s.io/tallygate-controller', '-n', SYSTEM],
      ['get', 'nodes'],
      ['create', 'serviceaccounts', '--subresource=token', '-n', OTHER],
      ['create', 'clusterroles.rbac.authorization.k8s.io'],
    ] as const;
    for (const [verb, resource, ...where] of allowed) {
      assert.ok(await may(verb, resource, ...where), `${verb} ${resource}`);
    }
    for (const [verb, resource, ...where] of forbidden) {
      assert.ok(!(await may(verb, resource, ...where)), `${verb} ${resource}`);
    }
  });
});

describe('a Gateway of the class', () => {
  before(async () => {
    await apply([
      gatewayOf(TEAM),
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'nowhere', namespace: TEAM },
        spec: { ports: [{ port: 8080 }] },
      },
      ...backendOf(TEAM, 'model', 'OpenAI', 'nowhere', [{ name: '*' }]),
      routeOf(TEAM, 'chat', [{ name: 'all', models: ['*'], backendRefs: [{ name: 'model' }] }]),
    ]);
    await waitUntil('condition=Programmed', ['-n', TEAM, 'gateway/ai']);
  });

  it('has a confined sidecar that started before Envoy and is ready with a policy', async () => {
    const [pod, ...more] = await proxyPods(TEAM, 'ai');
    assert.equal(more.length, 0);
    const status = pod.status.initContainerStatuses.find(({ name }: { name: string }) => name === 'tallygate');
    assert.equal(status.ready, true);
    assert.equal(status.restartCount, 0);
    const container = pod.spec.initContainers.find(({ name }: { name: string }) => name === 'tallygate');
    assert.equal(container.restartPolicy, 'Always');
    assert.equal(container.securityContext.readOnlyRootFilesystem, true);
    assert.equal(pod.spec.terminationGracePeriodSeconds, 660);
    const { namespace, name } = pod.metadata;
    const ready = await kubectl('get', '--raw', `/api/v1/namespaces/${namespace}/pods/${name}:9464/proxy/readyz`);
    assert.equal(JSON.parse(ready).ready, true);
  });

  it('has no credential of the cluster except the token for the controller', async () => {
    const [pod] = await proxyPods(TEAM, 'ai');
    const { namespace, name } = pod.metadata;
    const script = "console.log(require('fs').readdirSync('/var/run/secrets').join())";
    const node = ['/usr/local/bin/node', '-e', script];
    assert.equal((await kubectl('-n', namespace, 'exec', name, '-c', 'tallygate', '--', ...node)).trim(), 'tallygate');
  });
});

describe('upgrade', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'tallygate-chart-'));
  after(() => rmSync(folder, { recursive: true }));

  it('installs the CRDs of the new version, keeps users’ objects, and restarts only the controller', async () => {
    const chart = path.join(folder, 'tallygate');
    cpSync(CHART, chart, { recursive: true });
    const file = path.join(chart, 'files/crds/aibackends.yaml');
    const text = readFileSync(file, 'utf8').replace(
      'description: Where the provider listens.',
      'description: Another text.',
    );
    writeFileSync(file, text);
    const route = await get('-n', TEAM, 'aigatewayroute', 'chat');
    const [proxy] = await proxyPods(TEAM, 'ai');
    await install({ chart, values: ['controller.logLevel=debug'] });
    const { spec } = await get('crd', 'aibackends.tallygate.dev');
    assert.ok(JSON.stringify(spec).includes('Another text.'));
    assert.equal((await get('-n', TEAM, 'aigatewayroute', 'chat')).metadata.uid, route.metadata.uid);
    assert.equal((await proxyPods(TEAM, 'ai'))[0].metadata.uid, proxy.metadata.uid);
  });

  describe('from all namespaces to a few', () => {
    before(() => install({ values: [`controller.watchNamespaces={${TEAM}}`] }));
    after(async () => {
      await install();
      assert.ok(await may('get', 'secrets', '-n', OTHER));
    });

    it('the rights are reduced', async () => {
      assert.ok(await may('get', 'secrets', '-n', TEAM));
      assert.ok(!(await may('get', 'secrets', '-n', OTHER)));
      assert.ok(!(await may('list', 'secrets', '--all-namespaces')));
      assert.ok(!(await may('patch', 'httproutes.gateway.networking.k8s.io', '-n', OTHER)));
    });

    it('a new controller keeps the route ids', async () => {
      const ids = await routeIds();
      await kubectl('-n', SYSTEM, 'delete', 'pods', '-l', 'app.kubernetes.io/component=controller');
      await waitUntil('condition=Available', ['-n', SYSTEM, 'deployment/tallygate-controller']);
      // A status of the new leader shows that it has written its whole plan.
      await apply([routeOf(TEAM, 'chat', [{ name: 'all', models: ['gpt-*'], backendRefs: [{ name: 'model' }] }])]);
      const { generation } = (await get('-n', TEAM, 'aigatewayroute', 'chat')).metadata;
      const programmed = '.status.parents[0].conditions[?(@.type=="Programmed")]';
      await waitUntil(`jsonpath={${programmed}.observedGeneration}=${generation}`, ['-n', TEAM, 'aigatewayroute/chat']);
      assert.deepEqual(await routeIds(), ids);
    });

    it('the Secret of an older version gets a route secret and keeps its CA', async () => {
      const ids = await routeIds();
      const { data: before } = await get('-n', SYSTEM, 'secret', 'tallygate-ca');
      const patch = JSON.stringify([{ op: 'remove', path: '/data/routes' }]);
      await kubectl('-n', SYSTEM, 'patch', 'secret', 'tallygate-ca', '--type=json', '-p', patch);
      const { data: after } = await waitFor(
        'secret for the ids of routes',
        async () => {
          const secret = await get('-n', SYSTEM, 'secret', 'tallygate-ca');
          return secret.data.routes === undefined ? undefined : secret;
        },
        20_000,
      );
      assert.notEqual(after.routes, before.routes);
      assert.deepEqual({ ...after, routes: '' }, { ...before, routes: '' });
      await waitFor(
        'routes with ids made from it, and no others',
        async () => {
          const made = await routeIds();
          return made.length === ids.length && !made.some((id) => ids.includes(id));
        },
        20_000,
      );
    });
  });
});

describe('uninstall', () => {
  let proxy: { readonly metadata: { readonly uid: string } };
  before(async () => {
    [proxy] = (await proxyPods(TEAM, 'ai')) as [typeof proxy];
    await helm('uninstall', RELEASE, '-n', SYSTEM, '--wait');
  });

  it('keeps only CRDs, users’ objects and the GatewayClass, so that proxies keep their sidecar', async () => {
    assert.equal((await get('-n', TEAM, 'aigatewayroute', 'chat')).metadata.name, 'chat');
    await waitFor(
      'end of what the chart brought',
      async () => {
        const kindsOfChart =
          'deployments,services,pods,pdb,sa,roles,rolebindings,clusterroles,clusterrolebindings,gatewayclasses,envoyproxies';
        const ours = ['-A', '-l', `app.kubernetes.io/instance=${RELEASE}`, '-o', 'name'];
        const left = (await kubectl('get', kindsOfChart, ...ours)).trim().split('\n').toSorted();
        const rest = ['envoyproxy.gateway.envoyproxy.io/tallygate', 'gatewayclass.gateway.networking.k8s.io/tallygate'];
        return left.join() === rest.join();
      },
      30_000,
    );
    assert.equal((await get('gatewayclass', 'tallygate')).metadata.deletionTimestamp, undefined);
  });

  it('the next installation adopts them without new proxies', async () => {
    await install();
    const [after] = await proxyPods(TEAM, 'ai');
    assert.equal(after.metadata.uid, proxy.metadata.uid);
    await waitUntil('condition=Ready', ['-n', after.metadata.namespace, `pod/${after.metadata.name}`]);
    assert.equal((await get('-n', TEAM, 'aigatewayroute', 'chat')).metadata.name, 'chat');
  });
});
