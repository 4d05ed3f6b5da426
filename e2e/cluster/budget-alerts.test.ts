/** Alerts about budgets on a cluster: a signed webhook, an Event, and the fullest budgets. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Document } from '../data-plane/support/resources.ts';
import { waitFor } from '../data-plane/support/wait.ts';
import { signingSecret, startWebhookReceiver, type WebhookReceiver } from '../data-plane/support/webhook-receiver.ts';
import { askChat } from './support/ask.ts';
import { install, SYSTEM } from './support/helm.ts';
import { get, kubectl } from './support/kubectl.ts';
import { type ClusterWorld, startClusterWorld } from './support/world.ts';

const NAMESPACE = 'tge-alerts';
const host = process.env['K8S_RIG_HOST_IP'];

let world: ClusterWorld;
let receiver: WebhookReceiver;

function budgets(url: string): Document {
  return {
    apiVersion: 'tallygate.dev/v1alpha1',
    kind: 'AIQuotaPolicy',
    metadata: { name: 'budgets', namespace: NAMESPACE },
    spec: {
      targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'ai' }],
      quotas: [
        {
          name: 'requests',
          limit: { type: 'Requests', amount: 4 },
          window: { type: 'Calendar', calendar: { unit: 'Month' } },
          key: [{ type: 'Header', header: { name: 'x-team' } }],
          alertAt: [50, 100],
        },
      ],
      notify: [{ type: 'Webhook', webhook: { url, secretRef: { name: 'webhook' } } }],
    },
  };
}

describe('alerts about budgets', { skip: host === undefined && 'needs an address of the test in the network' }, () => {
  before(async () => {
    await install({ values: [`controller.allowedDestinations={${host}}`] });
    receiver = await startWebhookReceiver(0, host);
    world = await startClusterWorld(NAMESPACE, [budgets(receiver.url), signingSecret]);
  });
  after(async () => {
    await receiver?.stop();
    await world?.stop();
  });

  async function spend(requests: number): Promise<void> {
    for (let sent = 0; sent < requests; sent++) {
      const { status } = await askChat(world.url, { model: 'gpt-4o-mini', headers: { 'x-team': 'red' } });
      assert.equal(status, 200);
    }
  }

  it('reach the webhook once per threshold, also when the leader changes in between', async () => {
    await spend(2);
    await waitFor(
      'event',
      () => receiver.events.length === 1,
      20_000,
      () => receiver.faults.join(),
    );
    // An event is sent before it is stored.
    const stored = () =>
      kubectl('-n', SYSTEM, 'get', 'secret', 'tallygate-budget-alerts').then(
        () => true,
        () => false,
      );
    await waitFor('stored alert', stored, 10_000);
    await kubectl('-n', SYSTEM, 'delete', 'pod', '-l', 'app.kubernetes.io/name=tallygate', '--wait=false');
    await spend(2);
    await waitFor(
      'event',
      () => receiver.events.length === 2,
      60_000,
      () => receiver.faults.join(),
    );
    assert.deepEqual(
      receiver.events.map(({ subject, data: { percent, spent, limit } }) => [subject, percent, spent, limit]),
      [
        ['requests/red', 50, '2', '4'],
        ['requests/red', 100, '4', '4'],
      ],
    );
    assert.deepEqual(receiver.faults, []);
  });

  it('are Events of the policy', async () => {
    const { items } = await get('events.events.k8s.io', '-n', NAMESPACE);
    const ours = items.filter((each: { reason: string }) => each.reason.startsWith('Budget'));
    assert.deepEqual(ours.map((each: { reason: string }) => each.reason).toSorted(), [
      'BudgetExhausted',
      'BudgetThresholdReached',
    ]);
    const { note, regarding } = ours.find((each: { reason: string }) => each.reason === 'BudgetExhausted');
    assert.equal(note, 'Budget requests of x-team red: 100% spent (4 of 4 Requests)');
    assert.equal(regarding.name, 'budgets');
  });

  it('accompany the fullest budgets in the status of the policy', async () => {
    const read = async () => (await get('-n', NAMESPACE, 'aiquotapolicy', 'budgets')).status?.budgets;
    await waitFor('budget in the status', async () => (await read())?.[0]?.spent === '4', 75_000);
    assert.deepEqual(await read(), [{ quota: 'requests', key: ['red'], spent: '4', held: '0', limit: '4' }]);
  });
});
