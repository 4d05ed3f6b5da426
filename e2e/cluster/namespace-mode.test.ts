/**
 * Envoy Gateway in Gateway namespace mode: proxies run in the namespace of their Gateway, where
 * sidecars need the CA bundle. Runs only by name, because it needs another Envoy Gateway:
 * `make e2e-cluster FILES=e2e/cluster/namespace-mode.test.ts` installs it, and restores the usual
 * one afterwards.
 */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { mock, openaiClient, say } from '../data-plane/support/clients.ts';
import { accessRecord } from '../data-plane/support/records.ts';
import { quotaPolicy, teamQuota } from '../data-plane/support/resources.ts';
import { waitFor } from '../data-plane/support/wait.ts';
import { wordsOf } from '../data-plane/support/words.ts';
import { install } from './support/helm.ts';
import { condition, get, kubectl, waitUntil } from './support/kubectl.ts';
import { proxyPods, reachGateway, sidecarLog } from './support/reach.ts';
import { type ClusterWorld, LISTENER_PORT, startClusterWorld, waitUntilEnforcing } from './support/world.ts';

const NAMESPACE = 'tge-namespace-mode';

let world: ClusterWorld;
before(async () => {
  await install();
  world = await startClusterWorld(NAMESPACE, [
    quotaPolicy('teams', 'chat', [teamQuota('tokens', 'TotalTokens', 1000)]),
  ]);
});
after(async () => {
  // The controller checks a namespace again only after half of the grace period of its pods, which
  // takes minutes for a proxy.
  await kubectl('-n', NAMESPACE, 'delete', 'gateway', 'ai');
  await kubectl('-n', NAMESPACE, 'wait', '--for=delete', 'pods', '-l', 'app.kubernetes.io/component=proxy');
  await world?.stop();
  await install();
});

async function isCounted(team: string): Promise<void> {
  const request = { model: 'gpt-4o-mini', messages: say('Hello'), max_completion_tokens: 50 };
  const client = openaiClient(world.url, { 'x-team': team });
  const answer = await client.chat.completions.create(request, mock({ tokens: 12 }));
  assert.equal(answer.choices[0]?.message.content, wordsOf(12));
  const record = await waitFor(
    `access record of ${team}`,
    async () => {
      const records = (await sidecarLog(NAMESPACE, 'ai')).split('\n').map(accessRecord);
      return records.find((each) => each?.keys.includes(team));
    },
    10_000,
  );
  assert.deepEqual([record.status, record.outputTokens, record.source], [200, 12, 'provider']);
}

it('the proxies run in the namespace of their Gateway, with the sidecar and the CA bundle', async () => {
  const pods = await proxyPods(NAMESPACE, 'ai');
  assert.equal(pods.length, 1);
  assert.equal(
    pods[0].metadata.namespace,
    NAMESPACE,
    'fix: install Envoy Gateway as namespace-mode.envoy-gateway.yaml says',
  );
  assert.ok((await get('-n', NAMESPACE, 'configmap', 'tallygate-ca')).data['ca.crt'].includes('CERTIFICATE'));
});

it('a completion is counted, and the route is Programmed and Enforcing', async () => {
  await waitUntil(condition('parents', 'Programmed', 'True'), ['-n', NAMESPACE, 'aigatewayroute/chat']);
  await waitUntil(condition('ancestors', 'Enforcing', 'True'), ['-n', NAMESPACE, 'aiquotapolicy/teams']);
  await isCounted('first');
});

it('a controller with rights in selected namespaces serves old and new proxies', async () => {
  await install({ values: [`controller.watchNamespaces={${NAMESPACE}}`] });
  const [old] = await proxyPods(NAMESPACE, 'ai');
  await kubectl('-n', NAMESPACE, 'delete', 'pod', old.metadata.name, '--wait=false');
  await waitFor(
    'new proxy',
    async () => {
      const [pod] = await proxyPods(NAMESPACE, 'ai');
      const ready = pod?.status.conditions?.find(({ type }: { type: string }) => type === 'Ready')?.status;
      return pod?.metadata.uid !== old.metadata.uid && ready === 'True';
    },
    60_000,
  );
  await waitUntilEnforcing(NAMESPACE, 'chat');
  // The only pod; the node learns of it shortly after the API server.
  (await reachGateway(NAMESPACE, 'ai', LISTENER_PORT)).close();
  await isCounted('second');
});
