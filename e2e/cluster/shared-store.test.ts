/**
 * The chart's own quota store: two proxies share a budget exactly; without the store, each quota
 * does what its `onStoreLoss` says and `Enforcing` reports it; afterwards, everything recovers with
 * the counts of before. The console shows what the store knows.
 */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { type AccessRecord, accessRecord } from '../data-plane/support/records.ts';
import { type Document, quotaPolicy, teamQuota } from '../data-plane/support/resources.ts';
import { waitFor } from '../data-plane/support/wait.ts';
import { askChat, type ChatAnswer } from './support/ask.ts';
import { install, SYSTEM } from './support/helm.ts';
import { apply, get, kubectl, waitUntil } from './support/kubectl.ts';
import { proxyPods } from './support/reach.ts';
import { elsewhere, makeFolder } from './support/rig.ts';
import { type ClusterWorld, inNamespace, routeOf, startClusterWorld, waitUntilEnforcing } from './support/world.ts';

const NAMESPACE = 'tge-shared-store';
const STORE = 'tallygate-quota-store';
const CLAIM = `data-${STORE}-0`;
const FOLDER = '/srv/tge-shared-store';
const BUDGET = 40;
/** A second model and route, with a quota of its own. */
const OPEN = { model: 'open', route: 'open', budget: 5 };
/** An operator of the console; its route has no other use. */
const OPERATOR = { key: 'tg-operator-00000000000000000000', route: 'operator' };
const VALUES = [
  'console.enabled=true',
  `console.accessPolicies={${NAMESPACE}/operators}`,
  'console.operators=tenant=ops',
  'quotaStore.type=Own',
  ...(process.env['E2E_KUBECONFIG'] === undefined
    ? ['quotaStore.own.image.repository=docker.io/library/redis', 'quotaStore.own.image.tag=7']
    : []),
  'proxy.spec.provider.kubernetes.envoyDeployment.replicas=2',
];

const operators: readonly Document[] = [
  {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: 'operator',
      labels: { 'tallygate.dev/api-key': 'true' },
      annotations: { 'tallygate.dev/tenant': 'ops' },
    },
    stringData: { apiKey: OPERATOR.key },
  },
  {
    apiVersion: 'tallygate.dev/v1alpha1',
    kind: 'AIAccessPolicy',
    metadata: { name: 'operators' },
    spec: {
      targetRefs: [{ group: 'tallygate.dev', kind: 'AIGatewayRoute', name: OPERATOR.route }],
      authenticate: [
        {
          name: 'keys',
          type: 'APIKey',
          apiKey: { secretSelector: { matchLabels: { 'tallygate.dev/api-key': 'true' } } },
        },
      ],
      allow: [{ name: 'all', principals: [{ tenant: 'ops' }] }],
    },
  },
];

let world: ClusterWorld;
let consoleUrl: string;

before(async () => {
  await removeStore();
  if (elsewhere === false) {
    await provideVolume();
  }
  await install({ values: VALUES });
  await waitUntil('jsonpath={.status.readyReplicas}=1', ['-n', SYSTEM, `statefulset/${STORE}`]);
  const rulesOf = (model: string) => [
    { name: 'all', models: [model], backendRefs: [{ name: 'openai', model: 'gpt-4o-mini' }] },
  ];
  const closed = teamQuota('requests', 'Requests', BUDGET, { onStoreLoss: 'FailClosed' });
  const open = teamQuota('requests', 'Requests', OPEN.budget, { onStoreLoss: 'FailOpen' });
  world = await startClusterWorld(NAMESPACE, [quotaPolicy('closed', 'chat', [closed])]);
  await apply([
    routeOf(NAMESPACE, OPEN.route, rulesOf(OPEN.model)),
    routeOf(NAMESPACE, OPERATOR.route, rulesOf(OPERATOR.route)),
    ...inNamespace(NAMESPACE, [quotaPolicy('open', OPEN.route, [open]), ...operators]),
  ]);
  const service = await get('-n', SYSTEM, 'service', 'tallygate-console');
  consoleUrl = `http://${service.spec.clusterIP}/console/api`;
  await waitUntilEnforcing(NAMESPACE, OPEN.route);
});

after(async () => {
  await world?.stop();
  await install();
  await removeStore();
});

/** This cluster provides no volumes by itself. */
async function provideVolume(): Promise<void> {
  await makeFolder(FOLDER);
  const spec = {
    capacity: { storage: '2Gi' },
    accessModes: ['ReadWriteOnce'],
    persistentVolumeReclaimPolicy: 'Retain',
    hostPath: { path: FOLDER },
    claimRef: { namespace: SYSTEM, name: CLAIM },
  };
  await apply([{ apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name: 'tge-shared-store' }, spec }]);
}

async function removeStore(): Promise<void> {
  await kubectl('-n', SYSTEM, 'delete', 'persistentvolumeclaim', CLAIM, '--ignore-not-found', '--wait=false');
  await kubectl('delete', 'persistentvolume', 'tge-shared-store', '--ignore-not-found', '--wait=false');
}

function ask(team: string, model = 'gpt-4o-mini'): Promise<ChatAnswer> {
  return askChat(world.url, { model, headers: { 'x-team': team } });
}

async function countOf(status: number, answers: Iterable<Promise<ChatAnswer>>): Promise<number> {
  return (await Promise.all(answers)).filter((answer) => answer.status === status).length;
}

/** Returns how many records each proxy has of a team. */
async function recordsByProxy(team: string): Promise<readonly number[]> {
  const pods = await proxyPods(NAMESPACE, 'ai');
  const logs = pods.map(({ metadata }) => kubectl('-n', metadata.namespace, 'logs', metadata.name, '-c', 'tallygate'));
  return (await Promise.all(logs)).map((log) => {
    const records = log.split('\n').map(accessRecord) as readonly (AccessRecord | undefined)[];
    return records.filter((each) => each?.keys.includes(team)).length;
  });
}

const enforcing = (list: string) => `.status.${list}[0].conditions[?(@.type=="Enforcing")]`;

/** Waits until the store is reported as lost, and returns the message. */
async function untilLost(kind: string, name: string, list: 'parents' | 'ancestors'): Promise<string> {
  const object = ['-n', NAMESPACE, `${kind}/${name}`];
  await waitUntil(`jsonpath={${enforcing(list)}.reason}=QuotaStoreLost`, object, 20_000);
  return kubectl('get', ...object, '-o', `jsonpath={${enforcing(list)}.status} {${enforcing(list)}.message}`);
}

const scaleStore = (replicas: number) =>
  kubectl('-n', SYSTEM, 'scale', `statefulset/${STORE}`, `--replicas=${replicas}`);

async function passwordOf(): Promise<string> {
  const secret = (await get('-n', SYSTEM, 'secret', STORE)) as { readonly data: { readonly password: string } };
  return secret.data.password;
}

it('an upgrade of the chart keeps the password', async () => {
  const password = await passwordOf();
  assert.ok(password.length > 0);
  await install({ values: VALUES });
  assert.equal(await passwordOf(), password);
});

it('two proxies share one budget exactly', async () => {
  let served = await countOf(
    200,
    Array.from({ length: BUDGET + 20 }, () => ask('shared')),
  );
  // What one proxy has left in its allowance is given back when it is not used.
  await waitFor('the whole budget', async () => {
    served += await countOf(200, [ask('shared'), ask('shared')]);
    return served >= BUDGET;
  });
  served += await countOf(
    200,
    Array.from({ length: 10 }, () => ask('shared')),
  );
  assert.equal(served, BUDGET);
  const counts = await recordsByProxy('shared');
  assert.equal(counts.length, 2);
  assert.ok(
    counts.every((count) => count > 0),
    `requests by proxy: ${counts}`,
  );
});

interface ConsoleRow {
  readonly group?: { readonly route: string };
  readonly requests?: number;
  readonly quota?: string;
  readonly key?: readonly string[];
  readonly gateway?: string;
  readonly spent?: number;
}

/** Returns the rows that an operator sees; undefined while the console has no answer. */
async function consoleRows(call: string): Promise<readonly ConsoleRow[] | undefined> {
  const headers = { authorization: `Bearer ${OPERATOR.key}` };
  const response = await fetch(`${consoleUrl}/${call}`, { headers, signal: AbortSignal.timeout(12_000) });
  return response.ok ? ((await response.json()) as { readonly rows: readonly ConsoleRow[] }).rows : undefined;
}

async function requestsInConsole(): Promise<number> {
  const rows = (await consoleRows('usage?by=route').catch(() => undefined)) ?? [];
  return rows.find(({ group }) => group?.route === `${NAMESPACE}/chat`)?.requests ?? 0;
}

/** Asserts that an operator sees the spent budget as one row. */
async function assertBudgetShown(): Promise<void> {
  const ofTeam = (await consoleRows('budgets'))?.filter(({ key }) => key?.[0] === 'shared') ?? [];
  const shown = ofTeam.map(({ quota, gateway, spent }) => ({ quota, gateway, spent }));
  assert.deepEqual(shown, [{ quota: `${NAMESPACE}/closed/requests`, gateway: 'shared store', spent: BUDGET }]);
}

it('the console shows the shared budget once, and each request once', async () => {
  await waitFor('the requests', async () => (await requestsInConsole()) === BUDGET);
  await assertBudgetShown();
});

it('without the store, each quota does what its mode says, and Enforcing reports it', async () => {
  await scaleStore(0);
  const closed = await untilLost('aiquotapolicy', 'closed', 'ancestors');
  assert.match(closed, /^False [12] of 2 proxies do not reach the shared quota store \(/);
  assert.match(closed, /under FailClosed \(tge-shared-store\/closed\/requests\), they refuse/);
  assert.match(await untilLost('aigatewayroute', OPEN.route, 'parents'), /under FailOpen \([^)]*\), they serve/);
  const refused = await ask('new');
  assert.equal(refused.status, 503, refused.body);
  assert.match(refused.body, /quota_store_unavailable/);
  const many = Array.from({ length: OPEN.budget + 3 }, () => ask('many', OPEN.model));
  assert.equal(await countOf(200, many), OPEN.budget + 3);
});

it('a new password and the store come back without a restart of the proxies, with all counts', async () => {
  const before = await proxyPods(NAMESPACE, 'ai');
  const stringData = { password: 'another one' };
  await kubectl('-n', SYSTEM, 'patch', 'secret', STORE, '-p', JSON.stringify({ stringData }));
  await scaleStore(1);
  await waitUntilEnforcing(NAMESPACE, 'chat');
  await waitUntilEnforcing(NAMESPACE, OPEN.route);
  assert.equal((await ask('new')).status, 200);
  assert.equal((await ask('shared')).status, 429, 'the volume has the counts of before');
  await waitFor('charges of the loss', async () => (await ask('many', OPEN.model)).status === 429);
  await assertBudgetShown();
  const shown = (pods: readonly Document[]) =>
    pods.map((pod) => {
      const { metadata, status } = pod as {
        readonly metadata: { readonly uid: string };
        readonly status: { readonly initContainerStatuses: readonly { readonly restartCount: number }[] };
      };
      return [metadata.uid, ...status.initContainerStatuses.map(({ restartCount }) => restartCount)];
    });
  assert.deepEqual(shown(await proxyPods(NAMESPACE, 'ai')), shown(before));
});

/** Returns how many requests of the route the store has records of, as a proxy reads them. */
async function recordedRequests(): Promise<number> {
  const [pod] = await proxyPods(NAMESPACE, 'ai');
  const { namespace, name } = pod!.metadata;
  const program = ['/usr/local/bin/node', '/app/cli/main.ts'];
  const query = ['usage', '--of', 'shared', '--by', 'route', '--since', '2h', '--json'];
  const lines = await kubectl('-n', namespace, 'exec', name, '-c', 'tallygate', '--', ...program, ...query);
  const rows = lines
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as { readonly group: { readonly route: string }; readonly requests: number });
  return rows.find(({ group }) => group.route === `${NAMESPACE}/chat`)?.requests ?? 0;
}

it('usage records stay in the store when their proxy pods are deleted', async () => {
  // The whole budget of one team, and the request of another after the loss.
  await waitFor('the records', async () => (await recordedRequests()) === BUDGET + 1);
  for (const { metadata } of await proxyPods(NAMESPACE, 'ai')) {
    await kubectl('-n', metadata.namespace, 'delete', 'pod', metadata.name);
  }
  await waitUntilEnforcing(NAMESPACE, 'chat');
  await waitFor('the records in new pods', async () => {
    const requests = await recordedRequests().catch(() => undefined);
    return requests === BUDGET + 1;
  });
  await waitFor('the requests of ended pods in the console', async () => (await requestsInConsole()) === BUDGET + 1);
});
