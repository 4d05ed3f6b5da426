/**
 * The console of a cluster: who sees which rows, and that its Service finds the next leader. The
 * commands for a terminal show the same cluster.
 */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { newAuthority } from '../../fixtures/certificates.ts';
import type { Document } from '../data-plane/support/resources.ts';
import { waitFor } from '../data-plane/support/wait.ts';
import { askChat } from './support/ask.ts';
import { install, SYSTEM } from './support/helm.ts';
import { apply, condition, get, kubectl, waitUntil } from './support/kubectl.ts';
import { proxyPods } from './support/reach.ts';
import { newServiceAccount } from './support/service-account.ts';
import { startTallygate, tallygate } from './support/tallygate.ts';
import { type ClusterWorld, openGatewayOf, routeOf, startClusterWorld } from './support/world.ts';

const NAMESPACE = 'tge-console';
const PROXIES = 'envoy-gateway-system';
const keys = { red: 'tg-red-0000000000000000000000', ops: 'tg-ops-0000000000000000000000' } as const;
type Tenant = keyof typeof keys;

const secretOf = (tenant: Tenant): Document => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: {
    name: tenant,
    namespace: NAMESPACE,
    labels: { 'tallygate.dev/api-key': 'true' },
    annotations: { 'tallygate.dev/tenant': tenant },
  },
  stringData: { apiKey: keys[tenant] },
});

const policy: Document = {
  apiVersion: 'tallygate.dev/v1alpha1',
  kind: 'AIAccessPolicy',
  metadata: { name: 'internal', namespace: NAMESPACE },
  spec: {
    targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'ai' }],
    authenticate: [
      {
        name: 'keys',
        type: 'APIKey',
        apiKey: { secretSelector: { matchLabels: { 'tallygate.dev/api-key': 'true' } } },
      },
    ],
    allow: [{ name: 'all', principals: [{ tenant: 'red' }, { tenant: 'ops' }] }],
  },
};

let world: ClusterWorld;
let url: string;

const values = (name: string) => [
  'console.enabled=true',
  `console.accessPolicies={${NAMESPACE}/${name}}`,
  'console.operators=tenant=ops',
  'console.from[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=envoy-gateway-system',
  'console.httpRoute.enabled=true',
  'console.httpRoute.parentRefs[0].name=ai',
  `console.httpRoute.parentRefs[0].namespace=${NAMESPACE}`,
  'proxy.spec.provider.kubernetes.envoyDeployment.replicas=2',
];

before(async () => {
  await install({ values: values('internal') });
  world = await startClusterWorld(NAMESPACE, [openGatewayOf(NAMESPACE), policy, secretOf('red'), secretOf('ops')]);
  await waitUntil(condition('ancestors', 'Accepted', 'True'), ['-n', NAMESPACE, 'aiaccesspolicy', 'internal']);
  const address = await kubectl(
    '-n',
    SYSTEM,
    'get',
    'service',
    'tallygate-console',
    '-o',
    'jsonpath={.spec.clusterIP}',
  );
  url = `http://${address.trim()}/console`;
});
after(async () => {
  await world?.stop();
  await install();
});

interface Answer {
  readonly status: number;
  readonly rows: readonly { readonly group: { readonly tenant?: string }; readonly requests: number }[];
}

/** Returns status 0 where nobody answers. */
async function ask(call: string, key: string | undefined, from = url): Promise<Answer> {
  try {
    const headers: Readonly<Record<string, string>> = key === undefined ? {} : { authorization: `Bearer ${key}` };
    const response = await fetch(`${from}/api/${call}`, { headers, signal: AbortSignal.timeout(12_000) });
    const { rows = [] } = (await response.json()) as Partial<Answer>;
    return { status: response.status, rows };
  } catch {
    return { status: 0, rows: [] };
  }
}

const usageOf = async (key: string, from = url) =>
  (await ask('usage?by=tenant', key, from)).rows.map(({ group, requests }) => `${group.tenant} ${requests}`).sort();

it('a caller sees its own tenant, an operator all, and nobody anything without a credential', async () => {
  for (const tenant of ['red', 'ops'] as const) {
    const send = () =>
      askChat(world.url, { model: 'gpt-4o-mini', headers: { authorization: `Bearer ${keys[tenant]}` } });
    await waitFor('the key', async () => (await send()).status === 200, 15_000);
  }
  await waitFor('usage of both', async () => (await usageOf(keys.ops)).length === 2, 30_000);
  assert.deepEqual(await usageOf(keys.ops), ['ops 1', 'red 1']);
  assert.deepEqual(await usageOf(keys.red), ['red 1']);
  assert.equal((await ask('usage', undefined)).status, 401);
  assert.equal((await ask('usage', 'tg-other')).status, 401);
  assert.match(await (await fetch(`${url}/`)).text(), /<title>/);
});

it('the HTTPRoute of the chart leads callers through a Gateway to the console', async () => {
  const through = `${world.url}/console`;
  await waitFor('usage through the Gateway', async () => (await usageOf(keys.red, through)).length === 1, 15_000);
  assert.deepEqual(await usageOf(keys.red, through), ['red 1']);
  assert.equal((await ask('usage', undefined, through)).status, 401);
  assert.match(await (await fetch(`${through}/`)).text(), /<title>/);
});

interface ShownTop {
  readonly gateways: { readonly total: number; readonly problems: readonly string[] };
  readonly spend: {
    readonly rows: readonly { readonly name: string; readonly today: { readonly requests: number } }[];
  };
}

interface ShownCheck {
  readonly check: string;
  readonly state: string;
  readonly text: string;
  readonly fix?: string;
}

/** Returns the exit code of `tallygate doctor --cluster`, and what has a fix. */
async function doctor(environment?: NodeJS.ProcessEnv) {
  const { code, stdout } = await tallygate(['doctor', '--cluster', '--json'], environment);
  const results = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as ShownCheck);
  return { code, results, wrong: results.filter(({ fix }) => fix !== undefined) };
}

it('tallygate doctor finds nothing to fix', async () => {
  const { code, results, wrong } = await doctor();
  assert.deepEqual({ code, wrong }, { code: 0, wrong: [] });
  const unchecked = results.filter(({ state }) => state === 'not checked').map(({ check }) => check);
  assert.deepEqual(unchecked, ['certificates of Gateways', 'AIQuotaPolicy', 'AIGuardrailPolicy', 'AIContentPolicy']);
});

it('tallygate top shows all gateways and their tenants', async () => {
  const { code, stdout, stderr } = await tallygate(['top', '--cluster', '--json']);
  assert.equal(code, 0, stderr);
  const { gateways, spend } = JSON.parse(stdout) as ShownTop;
  assert.deepEqual(gateways, { total: 2, problems: [] });
  assert.deepEqual(spend.rows.map(({ name, today }) => `${name} ${today.requests}`).sort(), ['ops 1', 'red 1']);
});

it('tallygate tail shows a request with the pod of its gateway', async () => {
  const pods = await proxyPods(NAMESPACE, 'ai');
  const child = startTallygate(['tail', '--cluster', '--tenant', 'ops']);
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const lines = () => output.split('\n').filter((line) => line.includes('gpt-4o-mini'));
  try {
    await waitFor('the line of an earlier request', () => lines().length === 1, 10_000);
    await askChat(world.url, { model: 'gpt-4o-mini', headers: { authorization: `Bearer ${keys.ops}` } });
    await waitFor('the line of this request', () => lines().length === 2, 10_000);
    for (const line of lines()) {
      assert.match(line, / 200 .* ops /);
      assert.ok(
        pods.some(({ metadata }) => line.includes(metadata.name)),
        line,
      );
    }
  } finally {
    child.kill();
  }
});

it('a ServiceAccount needs the rights that the error names', async (t) => {
  const account = await newServiceAccount(PROXIES, 'tge-terminal');
  t.after(() => account.remove());
  const top = () => tallygate(['top', '--cluster', '--once'], { KUBECONFIG: account.kubeconfig });
  const pods = { apiGroups: [''], resources: ['pods'], verbs: ['list'] };
  await account.allow([pods]);
  assert.match((await top()).stderr, /ask for a Role in \S+ with list on pods, and create and get on pods\/exec\n$/);
  await account.allow([pods, { apiGroups: [''], resources: ['pods/exec'], verbs: ['create', 'get'] }]);
  await waitFor('the rights', async () => (await top()).code === 0, 10_000);
  const { code, results, wrong } = await doctor({ KUBECONFIG: account.kubeconfig });
  assert.equal(code, 3);
  const { fix } = wrong.find(({ check }) => check === 'AIBackend') ?? {};
  assert.equal(fix, 'ask for a ClusterRole with list on aibackends.tallygate.dev');
  assert.equal(results.find(({ check }) => check === 'sidecars')?.state, 'ok');
});

/** A pod that is never scheduled, and a Gateway of a class that nobody serves. */
const faults = async (): Promise<readonly Document[]> => {
  const { cert, key } = await (await newAuthority('gateways')).issue({ subject: 'CN=gateway' });
  const owner = 'gateway.envoyproxy.io/owning-gateway';
  const labels = {
    'app.kubernetes.io/managed-by': 'envoy-gateway',
    'app.kubernetes.io/component': 'proxy',
    [`${owner}-namespace`]: NAMESPACE,
    [`${owner}-name`]: 'ai',
  };
  const tls = { certificateRefs: [{ name: 'ends-soon' }] };
  const gateway = { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway' };
  return [
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'without-sidecar', namespace: PROXIES, labels },
      spec: { schedulingGates: [{ name: 'tallygate.dev/test' }], containers: [{ name: 'envoy', image: 'none' }] },
    },
    {
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'kubernetes.io/tls',
      metadata: { name: 'ends-soon', namespace: NAMESPACE },
      stringData: { 'tls.crt': cert, 'tls.key': key },
    },
    {
      ...gateway,
      metadata: { name: 'faulty', namespace: NAMESPACE },
      spec: { gatewayClassName: 'tge-none', listeners: [{ name: 'https', port: 8443, protocol: 'HTTPS', tls }] },
    },
    routeOf(NAMESPACE, 'faulty', [{ name: 'all', models: ['*'], backendRefs: [{ name: 'openai' }] }], 'faulty'),
  ];
};

it('tallygate doctor names a pod without a sidecar, a missing class and a certificate that ends', async (t) => {
  await apply(await faults());
  t.after(async () => {
    await kubectl('-n', PROXIES, 'delete', 'pod/without-sidecar', '--force');
    await kubectl('-n', NAMESPACE, 'delete', 'gateway/faulty', 'aigatewayroute/faulty', 'secret/ends-soon');
  });
  const { code, wrong } = await doctor();
  const textOf = (name: string) => wrong.filter(({ check }) => check === name).map(({ text }) => text);
  assert.equal(code, 1);
  assert.deepEqual(textOf('sidecars'), [
    `pod ${PROXIES}/without-sidecar has no sidecar, unlike another pod of its Gateway`,
  ]);
  assert.ok(textOf('Gateways').includes('there is no GatewayClass tge-none'), textOf('Gateways').join());
  assert.match(textOf('certificates of Gateways').join(), /^Secret tge-console\/ends-soon tls\.crt expires at /);
});

it('tallygate doctor names the backend whose Secret is gone', async () => {
  await kubectl('-n', NAMESPACE, 'delete', 'secret', 'key-of-openai');
  await waitFor('the problem', async () => (await doctor()).code === 1, 20_000);
  const found = (await doctor()).wrong.find(({ check }) => check === 'AIBackend');
  assert.match(found?.text ?? '', /^tge-console\/openai .*Secret tge-console\/key-of-openai does not exist$/);
  assert.equal(found?.fix, 'create it, or correct the name');
});

it('tallygate doctor names the field that a CRD lacks', async (t) => {
  const crd = 'aibackends.tallygate.dev';
  const path = '/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/schema/enum/0';
  const { metadata, spec } = await get('crd', crd);
  t.after(() =>
    apply([
      {
        apiVersion: 'apiextensions.k8s.io/v1',
        kind: 'CustomResourceDefinition',
        metadata: { name: metadata.name },
        spec,
      },
    ]),
  );
  await kubectl('patch', 'crd', crd, '--type=json', '-p', JSON.stringify([{ op: 'remove', path }]));
  const found = (await doctor()).wrong.find(({ check }) => check === 'CRDs');
  assert.match(found?.text ?? '', /^aibackends\.tallygate\.dev lacks spec\.schema=/);
});

it('the Service finds the next leader', async (t) => {
  await kubectl('-n', SYSTEM, 'delete', 'pod', '-l', 'tallygate.dev/leader=true', '--wait=false');
  const deletedMs = performance.now();
  await waitFor('an answer of the next leader', async () => (await usageOf(keys.red)).length === 1, 60_000);
  t.diagnostic(`answered ${(performance.now() - deletedMs).toFixed(0)} ms after the end of the leader`);
  await waitFor(
    'one pod with the label',
    async () => {
      const labelled = await kubectl('-n', SYSTEM, 'get', 'pod', '-l', 'tallygate.dev/leader=true', '-o', 'name');
      return labelled.trim().split('\n').length === 1;
    },
    60_000,
  );
});

it('a policy that the operator has not named lets nobody in', async () => {
  await install({ values: values('another') });
  await waitFor('the refusal', async () => (await ask('usage', keys.ops)).status === 403, 60_000);
  assert.equal((await ask('usage', keys.red)).status, 403);
});
