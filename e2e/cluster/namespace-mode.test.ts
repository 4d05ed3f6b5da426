/**
 * Envoy Gateway in Gateway namespace mode: proxies run beside their Gateway, so the sidecars trust
 * and are trusted there. Run by name only, because it needs an Envoy Gateway of that configuration:
 * `make e2e-cluster FILES=e2e/cluster/namespace-mode.test.ts` installs it and afterwards the usual
 * one.
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
  // A namespace is looked at again only after half of the time that its pods may take to end, which
  // is minutes for a proxy.
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

it('the proxies run beside their Gateway, with the sidecar and what it trusts', async () => {
  const pods = await proxyPods(NAMESPACE, 'ai');
  assert.equal(pods.length, 1);
  assert.equal(
    pods[0].metadata.namespace,
    NAMESPACE,
    'fix: install Envoy Gateway as namespace-mode.envoy-gateway.yaml says',
  );
  assert.ok((await get('-n', NAMESPACE, 'configmap', 'tallygate-ca')).data['ca.crt'].includes('CERTIFICATE'));
});

it('the first completion is counted, and the route is programmed and enforced', async () => {
  await waitUntil(condition('parents', 'Programmed', 'True'), ['-n', NAMESPACE, 'aigatewayroute/chat']);
  await waitUntil(condition('ancestors', 'Enforcing', 'True'), ['-n', NAMESPACE, 'aiquotapolicy/teams']);
  await isCounted('first');
});

it('so it is with a controller that has rights in chosen namespaces only, for a new proxy too', async () => {
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
  // It is the only one, and the node learns of it a moment after the API server.
  (await reachGateway(NAMESPACE, 'ai', LISTENER_PORT)).close();
  await isCounted('second');
});
