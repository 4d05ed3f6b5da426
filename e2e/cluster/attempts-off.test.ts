/**
 * Failover where Envoy Gateway does not allow EnvoyPatchPolicies: the route's status says so, and
 * the client's own retry reaches the second provider. Runs only by name, because it needs another
 * Envoy Gateway.
 */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import OpenAI from 'openai';
import { CLIENT_KEY, say } from '../data-plane/support/clients.ts';
import { waitFor } from '../data-plane/support/wait.ts';
import { wordsOf } from '../data-plane/support/words.ts';
import { install } from './support/helm.ts';
import { apply, condition, get, waitUntil } from './support/kubectl.ts';
import { type ClusterProvider, startClusterProvider } from './support/provider.ts';
import { tallygate } from './support/tallygate.ts';
import { backendOf, type ClusterWorld, routeOf, startClusterWorld, waitUntilEnforcing } from './support/world.ts';

const NAMESPACE = 'tge-attempts-off';
const MODEL = 'gpt-4o-mini';

let world: ClusterWorld;
let failing: ClusterProvider;
before(async () => {
  await install();
  world = await startClusterWorld(NAMESPACE);
  failing = await startClusterProvider(NAMESPACE, 'failing');
  await failing.setDefaults({ status: 500 });
  await world.provider.setDefaults({ tokens: 3 });
  const backendRefs = [
    { name: 'failing', model: MODEL },
    { name: 'openai', model: MODEL, priority: 1 },
  ];
  await apply([
    ...backendOf(NAMESPACE, 'failing', 'OpenAI', 'failing', [{ name: MODEL, maxOutputTokens: 16_384 }]),
    routeOf(NAMESPACE, 'failover', [{ name: 'assistant', models: ['assistant'], backendRefs, failover: {} }]),
  ]);
});
after(async () => {
  failing?.close();
  await world?.stop();
});

it('the status of the route names the setting of Envoy Gateway', async () => {
  const object = ['-n', NAMESPACE, 'aigatewayroute/failover'];
  await waitUntil(condition('parents', 'tallygate.dev/FailoverWithinRequest', 'False'), object);
  const { status } = await get(...object);
  const found = status.parents[0].conditions.find(
    ({ type }: { readonly type: string }) => type === 'tallygate.dev/FailoverWithinRequest',
  );
  assert.equal(found.reason, 'PatchesDisabled');
  assert.match(found.message, /extensionApis\.enableEnvoyPatchPolicy/);
});

it('tallygate doctor names the setting and the route', async () => {
  const { stdout } = await tallygate(['doctor', '--cluster', '--json']);
  const lines = stdout.trim().split('\n');
  const found = lines
    .map((line) => JSON.parse(line) as { readonly state: string; readonly text: string; readonly fix?: string })
    .find(({ text }) => text.includes('EnvoyPatchPolicy'));
  assert.deepEqual(found && [found.state, found.text, found.fix], [
    'warning',
    'EnvoyPatchPolicy is off: tge-attempts-off/failover cannot fail over within a request',
    'set config.envoyGateway.extensionApis.enableEnvoyPatchPolicy=true in its chart',
  ]);
});

it("the client's own retry reaches the second provider", async () => {
  await waitUntilEnforcing(NAMESPACE, 'failover');
  const openai = new OpenAI({ baseURL: `${world.url}/v1`, apiKey: CLIENT_KEY, maxRetries: 1, timeout: 30_000 });
  const answer = await openai.chat.completions.create({
    model: 'assistant',
    messages: say('Hello'),
    max_completion_tokens: 9,
  });
  assert.equal(answer.choices[0]?.message.content, wordsOf(3));
  await waitFor('the failed attempt', async () => (await failing.seen()).length === 1, 5_000);
});
