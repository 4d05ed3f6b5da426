/** Alerts about budgets reach webhooks: signed, once per threshold and key, also after failures. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { startGateway } from './support/gateway.ts';
import { chat, limitedRoute } from './support/limits.ts';
import { type Provider, startProvider } from './support/provider.ts';
import { teamQuota } from './support/resources.ts';
import { waitFor } from './support/wait.ts';
import { signingSecret, startWebhookReceiver, type WebhookReceiver } from './support/webhook-receiver.ts';
import { backends, type World } from './support/world.ts';

let provider: Provider;
let receiver: WebhookReceiver;
let folder: string;
before(async () => {
  [provider, receiver] = await Promise.all([startProvider(), startWebhookReceiver()]);
  folder = mkdtempSync(path.join(os.tmpdir(), 'tallygate-e2e-'));
});
after(async () => {
  await Promise.all([provider?.stop(), receiver?.stop()]);
  rmSync(folder, { recursive: true, force: true });
});

function resources() {
  const quota = teamQuota('requests', 'Requests', 10, { alertAt: [50, 100] });
  const webhook = { url: receiver.url, secretRef: { name: 'webhook' } };
  const limits = limitedRoute({ few: { quotas: [quota], more: { notify: [{ type: 'Webhook', webhook }] } } });
  return [...backends(provider.port), ...limits, signingSecret];
}

async function start(): Promise<World> {
  const gateway = await startGateway(resources(), { folder });
  return { provider, gateway, stop: () => gateway.stop() };
}

/** Sends requests at the same time. */
async function spend(world: World, team: string, requests: number): Promise<void> {
  const small = { team, body: { max_completion_tokens: 1 }, mock: { tokens: 1 } };
  const answers = await Promise.all(Array.from({ length: requests }, () => chat(world, 'few', small)));
  assert.ok(answers.every(({ status }) => status === 200));
}

const told = () => receiver.events.map(({ subject, data: { percent } }) => `${subject} ${percent}`).toSorted();

it('each threshold of each key is told once, and again only until the receiver accepts it', async () => {
  const first = await start();
  receiver.isAway = true;
  await spend(first, 'red', 6);
  await waitFor('refused event', () => receiver.refused.length > 1, 10_000);
  const metrics = await first.gateway.metrics();
  assert.equal(metrics.sum('tallygate_alert_webhooks_failing'), 1);
  assert.equal(metrics.sum('tallygate_alert_events_pending'), 1);
  receiver.isAway = false;
  await waitFor('event', () => receiver.events.length === 1, 10_000);
  const [event] = receiver.events;
  assert.equal(event?.id, receiver.refused[0]?.id);
  assert.equal(event?.type, 'dev.tallygate.budget.threshold-reached.v1');
  const { quota, key, percent, spent, limit } = event!.data;
  assert.deepEqual([quota, percent, spent, limit], ['default/few/requests', 50, '5', '10']);
  assert.deepEqual(key, [{ type: 'Header', name: 'x-team', value: 'red' }]);

  await Promise.all([spend(first, 'red', 4), spend(first, 'blue', 10)]);
  const all = ['requests/blue 100', 'requests/blue 50', 'requests/red 100', 'requests/red 50'];
  const sent = async () => (await first.gateway.metrics()).sum('tallygate_alert_events_sent_total');
  await waitFor(
    'events',
    async () => (await sent()) === 4,
    10_000,
    () => told().join(),
  );
  assert.deepEqual(told(), all);
  assert.deepEqual(receiver.faults, []);
  assert.ok(receiver.events.some(({ type }) => type === 'dev.tallygate.budget.exhausted.v1'));
  await first.stop();
});

it('an alert that no receiver accepted is sent after a restart', async () => {
  const before = receiver.events.length;
  const first = await start();
  receiver.isAway = true;
  await spend(first, 'green', 5);
  const refused = receiver.refused.length;
  await waitFor('refused event', () => receiver.refused.length > refused, 10_000);
  await first.stop();
  receiver.isAway = false;
  const second = await start();
  await waitFor('event', () => receiver.events.length === before + 1, 10_000);
  assert.equal(receiver.events.at(-1)?.subject, 'requests/green');
  await second.stop();
});
