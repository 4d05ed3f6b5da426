/** The console of a cluster: who sees which rows, and that its Service finds the next leader. */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import type { Document } from '../data-plane/support/resources.ts';
import { waitFor } from '../data-plane/support/wait.ts';
import { askChat } from './support/ask.ts';
import { install, SYSTEM } from './support/helm.ts';
import { condition, kubectl, waitUntil } from './support/kubectl.ts';
import { type ClusterWorld, openGatewayOf, startClusterWorld } from './support/world.ts';

const NAMESPACE = 'tge-console';
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
