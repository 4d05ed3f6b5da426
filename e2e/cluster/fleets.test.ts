/**
 * Proxies with the sidecar: of the chart's class, a user's EnvoyProxy, a DaemonSet and merged
 * Gateways; and a Gateway without it, which is reported.
 */
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parse } from 'yaml';
import { errorOf, mock, openaiClient, say } from '../data-plane/support/clients.ts';
import type { Document } from '../data-plane/support/resources.ts';
import { wordsOf } from '../data-plane/support/words.ts';
import { install, SYSTEM } from './support/helm.ts';
import { apply, command, get, kubectl, repository, waitUntil } from './support/kubectl.ts';
import { namespaceOf, removeNamespaces } from './support/namespaces.ts';
import { startClusterProvider } from './support/provider.ts';
import { proxyPods, reachGateway } from './support/reach.ts';
import { backendOf, gatewayOf, LISTENER_PORT, routeOf, waitUntilEnforcing } from './support/world.ts';

const NAMESPACE = 'tge-fleets';
const MERGED = 'tge-merged';
const MODEL = 'gpt-4o-mini';

before(async () => {
  await removeNamespaces(NAMESPACE);
  await removeMerged();
  await install();
  await apply([namespaceOf(NAMESPACE)]);
  const { name, close } = await startClusterProvider(NAMESPACE);
  close();
  await apply(backendOf(NAMESPACE, 'openai', 'OpenAI', name, [{ name: MODEL, maxOutputTokens: 16_384 }]));
});
after(async () => {
  await removeNamespaces(NAMESPACE);
  await removeMerged();
});

async function removeMerged(): Promise<void> {
  await kubectl('delete', 'gatewayclass', MERGED, '--ignore-not-found', '--wait=false');
  await kubectl('-n', SYSTEM, 'delete', 'envoyproxy', MERGED, '--ignore-not-found');
}

/** Builds an EnvoyProxy from the output of the command, as a user does. */
async function envoyProxy(namespace: string, name: string, options: readonly string[], more: Document = {}) {
  const image = process.env['E2E_IMAGE'] ?? 'tallygate:dev';
  const args = [path.join(repository, 'cli/main.ts'), 'sidecar-patch', '--image', image, ...options];
  const printed = parse(await command(process.execPath, args)) as Document;
  return { ...printed, metadata: { name, namespace }, spec: { ...(printed['spec'] as Document), ...more } };
}

function withParameters(gateway: Document, name: string): Document {
  const parametersRef = { group: 'gateway.envoyproxy.io', kind: 'EnvoyProxy', name };
  return { ...gateway, spec: { ...(gateway['spec'] as Document), infrastructure: { parametersRef } } };
}

/** Returns a route of one Gateway only, so that its status is about that Gateway. */
function route(gateway: string): Document {
  const rules = [{ name: 'all', models: [MODEL, gateway], backendRefs: [{ name: 'openai', model: MODEL }] }];
  return routeOf(NAMESPACE, `route-${gateway}`, rules, gateway);
}

async function serves(gateway: string, port = LISTENER_PORT, merged?: string): Promise<void> {
  await waitUntilEnforcing(NAMESPACE, `route-${gateway}`);
  const { url, close } = await reachGateway(NAMESPACE, gateway, port, merged);
  const request = { model: gateway, messages: say('Hello'), max_completion_tokens: 50 };
  const answer = await openaiClient(url).chat.completions.create(request, mock({ tokens: 12 }));
  assert.equal(answer.choices[0]?.message.content, wordsOf(12));
  close();
}

describe('fleets', () => {
  it('two Gateways of the chart’s class serve their own routes', async () => {
    await apply([gatewayOf(NAMESPACE, 'first'), gatewayOf(NAMESPACE, 'second'), route('first'), route('second')]);
    await serves('first');
    await serves('second');
    const { url, close } = await reachGateway(NAMESPACE, 'first', LISTENER_PORT);
    const error = await errorOf(openaiClient(url).chat.completions.create({ model: 'second', messages: say('Hello') }));
    assert.match(String(error), /404/);
    close();
    await kubectl('-n', NAMESPACE, 'delete', 'gateway', 'first', 'second');
  });

  it('a user’s EnvoyProxy serves with the sidecar patch', async () => {
    const own = await envoyProxy(NAMESPACE, 'own', []);
    await apply([own, withParameters(gatewayOf(NAMESPACE, 'own'), 'own'), route('own')]);
    await serves('own');
    await kubectl('-n', NAMESPACE, 'delete', 'gateway', 'own');
  });

  it('a DaemonSet of proxies serves', async () => {
    const daemon = await envoyProxy(NAMESPACE, 'daemon', ['--daemonset']);
    await apply([daemon, withParameters(gatewayOf(NAMESPACE, 'daemon'), 'daemon'), route('daemon')]);
    await serves('daemon');
    const [pod] = await proxyPods(NAMESPACE, 'daemon');
    assert.equal(pod.metadata.ownerReferences[0].kind, 'DaemonSet');
    await kubectl('-n', NAMESPACE, 'delete', 'gateway', 'daemon');
  });

  it('one fleet serves the routes of merged Gateways', async () => {
    const merged = await envoyProxy(SYSTEM, MERGED, [], { mergeGateways: true });
    const { spec } = await get('gatewayclass', 'tallygate');
    const parametersRef = { ...spec.parametersRef, name: MERGED };
    const gatewayClass = {
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'GatewayClass',
      metadata: { name: MERGED },
      spec: { controllerName: spec.controllerName, parametersRef },
    };
    const gateways = [gatewayOf(NAMESPACE, 'one', MERGED, 8081), gatewayOf(NAMESPACE, 'two', MERGED, 8082)];
    await apply([merged, gatewayClass, ...gateways, route('one'), route('two')]);
    await serves('one', 8081, MERGED);
    await serves('two', 8082, MERGED);
    await kubectl('-n', NAMESPACE, 'delete', 'gateway', 'one', 'two');
  });

  it('a Gateway whose EnvoyProxy has no sidecar is reported', async () => {
    const bare = {
      apiVersion: 'gateway.envoyproxy.io/v1alpha1',
      kind: 'EnvoyProxy',
      metadata: { name: 'bare', namespace: NAMESPACE },
      spec: { logging: { level: { default: 'warn' } } },
    };
    await apply([bare, withParameters(gatewayOf(NAMESPACE, 'bare'), 'bare'), route('bare')]);
    const reason = (type: string) => `{.status.parents[0].conditions[?(@.type=="${type}")].reason}`;
    await waitUntil(`jsonpath=${reason('Programmed')}=NoSidecar`, ['-n', NAMESPACE, 'aigatewayroute/route-bare']);
    await waitUntil(`jsonpath=${reason('Enforcing')}=FilterMissing`, ['-n', NAMESPACE, 'aigatewayroute/route-bare']);
  });
});
