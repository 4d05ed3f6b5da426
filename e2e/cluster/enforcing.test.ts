/**
 * Provokes each known silent bypass: the processor is healthy, routes are accepted, and traffic
 * passes unmetered. `Enforcing` reports it, and recovers when it is undone.
 */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { errorOf, mock, openaiClient, say } from '../data-plane/support/clients.ts';
import { accessRecord } from '../data-plane/support/records.ts';
import { type Document, quotaPolicy, teamQuota } from '../data-plane/support/resources.ts';
import { waitFor } from '../data-plane/support/wait.ts';
import { install } from './support/helm.ts';
import { apply, condition, get, kubectl, waitUntil } from './support/kubectl.ts';
import { sidecarLog } from './support/reach.ts';
import { type ClusterWorld, gatewayOf, startClusterWorld, waitUntilEnforcing } from './support/world.ts';

const NAMESPACE = 'tge-enforcing';
const MODEL = 'gpt-4o-mini';
const ROUTE = ['-n', NAMESPACE, 'aigatewayroute/chat'];
const ENVOY_GATEWAY = 'gateway.envoyproxy.io/v1alpha1';

/** A generated HTTPRoute with one rule. */
interface Generated {
  readonly name: string;
  readonly rule: string;
  readonly header: { readonly name: string; readonly value: string } | undefined;
}

let world: ClusterWorld;
let entry: Generated;
let target: Generated;

before(async () => {
  await install();
  const quota = teamQuota('requests', 'Requests', 1000);
  world = await startClusterWorld(NAMESPACE, [quotaPolicy('teams', 'chat', [quota])]);
  entry = await generated('entry', 'tallygate-entry');
  target = await generated('chat', 'tallygate-chat-openai');
});
after(() => world?.stop());

async function generated(label: string, prefix: string): Promise<Generated> {
  const { items } = await get('httproutes', '-n', NAMESPACE, '-l', `tallygate.dev/route=${label}`);
  const found = items.find(({ metadata }: { metadata: { name: string } }) => metadata.name.startsWith(prefix));
  const [rule] = found.spec.rules;
  return { name: found.metadata.name, rule: rule.name, header: rule.matches[0].headers?.[0] };
}

function ask(team: string, headers: Readonly<Record<string, string>> = {}) {
  const request = { model: MODEL, messages: say('Hello'), max_completion_tokens: 9 };
  return openaiClient(world.url, { 'x-team': team, ...headers }).chat.completions.create(request, mock({ tokens: 3 }));
}

/**
 * Sends a request as a client that knows the secret route id, so that it matches the target first.
 */
function forge(team: string) {
  return ask(team, { [target.header?.name ?? '']: target.header?.value ?? '' });
}

async function isCounted(team: string): Promise<boolean> {
  const records = (await sidecarLog(NAMESPACE, 'ai')).split('\n').map(accessRecord);
  return records.some((each) => each?.keys.includes(team));
}

/** Waits until a later request is counted; an earlier one is then counted or never will be. */
async function isNeverCounted(team: string): Promise<boolean> {
  await ask(`after-${team}`);
  await waitFor(`record after ${team}`, () => isCounted(`after-${team}`), 10_000);
  return !(await isCounted(team));
}

/** Returns the message of Enforcing, once it is False with this reason. */
async function untilNotEnforcing(reason: string): Promise<string> {
  const enforcing = '.status.parents[0].conditions[?(@.type=="Enforcing")]';
  await waitUntil(`jsonpath={${enforcing}.reason}=${reason}`, ROUTE);
  const [status, message = ''] = (
    await kubectl('get', ...ROUTE, '-o', `jsonpath={${enforcing}.status}|{${enforcing}.message}`)
  ).split('|');
  assert.equal(status, 'False');
  return message;
}

const recovered = () => waitUntilEnforcing(NAMESPACE, 'chat', 90_000);

function usersPolicy(kind: string, name: string, targetRef: Document, more: Document): Document {
  const group = 'gateway.networking.k8s.io';
  const targetRefs = [{ group, kind: 'HTTPRoute', ...targetRef }];
  return { apiVersion: ENVOY_GATEWAY, kind, metadata: { name, namespace: NAMESPACE }, spec: { targetRefs, ...more } };
}

const remove = (kind: string, name: string) => kubectl('-n', NAMESPACE, 'delete', kind, name);

it('a request with forged headers is counted', async () => {
  await forge('forged');
  await waitFor('record', () => isCounted('forged'), 10_000);
});

describe('an EnvoyExtensionPolicy of a user', () => {
  /** Fails open, so that requests pass. */
  const processor = { extProc: [{ backendRefs: [{ name: 'provider', port: 8080 }], failOpen: true }] };
  const mine = ['-n', NAMESPACE, 'envoyextensionpolicy/mine'];
  const rule = { matches: [{ path: { value: '/plain' } }], backendRefs: [{ name: 'provider', port: 8080 }] };
  const plainRoute = {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    metadata: { name: 'plain', namespace: NAMESPACE },
    spec: { parentRefs: [{ name: 'ai' }], rules: [rule] },
  };

  it('on a rule overrides the filter, which is reported', async () => {
    await apply([
      usersPolicy('EnvoyExtensionPolicy', 'mine', { name: target.name, sectionName: target.rule }, processor),
    ]);
    await waitUntil(condition('ancestors', 'Accepted', 'True'), mine);
    const message = await untilNotEnforcing('Overridden');
    assert.ok(message.includes(target.rule), message);
    assert.match(message, /fix: let your EnvoyExtensionPolicy target the Gateway/);
    await forge('by-rule');
    assert.ok(await isNeverCounted('by-rule'), 'the bypass is real');
    await remove('envoyextensionpolicy', 'mine');
    await recovered();
    await forge('rule-again');
    await waitFor('record', () => isCounted('rule-again'), 10_000);
  });

  it('on a route overrides a younger generated policy, which is reported', async () => {
    await apply([usersPolicy('EnvoyExtensionPolicy', 'mine', { name: target.name }, processor)]);
    await kubectl('-n', NAMESPACE, 'delete', 'envoyextensionpolicy', 'tallygate');
    await waitUntil(condition('ancestors', 'Accepted', 'True'), mine);
    const message = await untilNotEnforcing('NotAccepted');
    assert.ok(message.includes(target.name), message);
    assert.match(message, /fix: let your EnvoyExtensionPolicy target the Gateway/);
    await forge('by-age');
    assert.ok(await isNeverCounted('by-age'), 'the bypass is real');
    await remove('envoyextensionpolicy', 'mine');
    await recovered();
  });

  it('on the Gateway does not override the filter, and its unused processor is reported', async () => {
    // The processor does not speak the protocol, so requests fail if it is called, as on a route
    // without Tallygate.
    const asked = { failOpen: false, processingMode: { request: {} } };
    const extProc = processor.extProc.map((each) => ({ ...each, ...asked }));
    await apply([
      plainRoute,
      usersPolicy('EnvoyExtensionPolicy', 'mine', { kind: 'Gateway', name: 'ai' }, { extProc }),
    ]);
    await waitFor('failure', async () => (await fetch(`${world.url}/plain`)).status >= 500, 20_000);
    await waitUntil(condition('ancestors', 'Merged', 'True'), ['-n', NAMESPACE, 'envoyextensionpolicy/tallygate']);
    const replaced = '.status.parents[0].conditions[?(@.type=="tallygate.dev/ProcessorReplaced")]';
    await waitUntil(`jsonpath={${replaced}.status}=True`, ROUTE);
    const message = await kubectl('get', ...ROUTE, '-o', `jsonpath={${replaced}.message}`);
    assert.match(message, /^extProc of EnvoyExtensionPolicy tge-enforcing\/mine is not called .*; fix: /);
    await ask('not-called');
    await forge('merged');
    await waitFor('record', () => isCounted('merged'), 10_000);
    await recovered();
    await remove('envoyextensionpolicy', 'mine');
    await remove('httproute', 'plain');
    await waitFor(
      'silence',
      async () => (await kubectl('get', ...ROUTE, '-o', `jsonpath={${replaced}}`)) === '',
      10_000,
    );
    await recovered();
  });
});

describe('a security policy on a generated route', () => {
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'clients', namespace: NAMESPACE },
    stringData: { alice: 'key-of-alice' },
  };
  const keys = {
    apiKeyAuth: { credentialRefs: [{ name: 'clients' }], extractFrom: [{ headers: ['x-client-key'] }] },
  };
  const accepted = () =>
    waitUntil(condition('ancestors', 'Accepted', 'True'), ['-n', NAMESPACE, 'securitypolicy/keys']);

  it('is accepted on a target but not in force, which is reported', async () => {
    await apply([secret, usersPolicy('SecurityPolicy', 'keys', { name: target.name }, keys)]);
    await accepted();
    const message = await untilNotEnforcing('NotEnforceable');
    assert.match(message, /apiKeyAuth of SecurityPolicy tge-enforcing\/keys .*; fix: target the Gateway/);
    await ask('no-key');
    await remove('securitypolicy', 'keys');
    await recovered();
  });

  it('is in force on an entry route except with a forged header, which is reported', async () => {
    await apply([usersPolicy('SecurityPolicy', 'keys', { name: entry.name }, keys)]);
    await accepted();
    await untilNotEnforcing('NotEnforceable');
    await waitFor('refusal', async () => String(await ask('no-key').catch(String)).includes('401'), 10_000);
    await forge('forged-key');
    await remove('securitypolicy', 'keys');
    await recovered();
  });

  it('is in force on the Gateway, and not reported', async () => {
    await apply([usersPolicy('SecurityPolicy', 'keys', { kind: 'Gateway', name: 'ai' }, keys)]);
    await accepted();
    await waitFor('refusal', async () => String(await ask('no-key').catch(String)).includes('401'), 10_000);
    assert.match(String(await errorOf(forge('no-key'))), /401/);
    await ask('alice', { 'x-client-key': 'key-of-alice' });
    await recovered();
    await remove('securitypolicy', 'keys');
    await waitFor('open door', () => ask('open-again').then(Boolean, () => false), 10_000);
  });
});

it('fields of a traffic policy on a rule that are not in force are reported', async () => {
  const filters = {
    requestBuffer: { limit: '10' },
    compressor: [{ type: 'Gzip', gzip: {} }],
    faultInjection: { abort: { httpStatus: 418, percentage: 100 } },
  };
  await apply([usersPolicy('BackendTrafficPolicy', 'mine', { name: target.name, sectionName: target.rule }, filters)]);
  await waitUntil(condition('ancestors', 'Accepted', 'True'), ['-n', NAMESPACE, 'backendtrafficpolicy/mine']);
  const message = await untilNotEnforcing('NotEnforceable');
  for (const field of Object.keys(filters)) {
    assert.ok(message.includes(field), message);
  }
  assert.match(message, /BackendTrafficPolicy tge-enforcing\/mine .*; fix: target the Gateway/);
  // No 418, no 413, and no compression, although the client accepts it.
  assert.equal((await ask('unbuffered').asResponse()).headers.get('content-encoding'), null);
  await waitFor('refusal of a forged header', () => forge('faulty').then(() => false, Boolean), 10_000);
  await remove('backendtrafficpolicy', 'mine');
  await recovered();
});

it('proxies without a sidecar are reported', async () => {
  const bare = {
    apiVersion: ENVOY_GATEWAY,
    kind: 'EnvoyProxy',
    metadata: { name: 'bare', namespace: NAMESPACE },
    spec: { logging: { level: { default: 'warn' } } },
  };
  const gateway = gatewayOf(NAMESPACE);
  const infrastructure = { parametersRef: { group: 'gateway.envoyproxy.io', kind: 'EnvoyProxy', name: 'bare' } };
  await apply([bare, { ...gateway, spec: { ...(gateway['spec'] as Document), infrastructure } }]);
  const message = await untilNotEnforcing('FilterMissing');
  assert.match(message, /has no sidecar/);
  const refused = async () => String(await ask('bare').catch(String));
  await waitFor('only proxies without', async () => / 50\d/.test(` ${await refused()}`.replace('Error: ', '')), 30_000);
  await apply([gateway]);
  await recovered();
  await waitFor('answer', () => ask('again').then(Boolean, () => false), 30_000);
});
