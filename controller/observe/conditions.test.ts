import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { GatewayPolicy } from '../../contract/policy.ts';
import { condition } from '../../crds/conditions.ts';
import {
  ConfigCheckSchema,
  SharedStoreReport_State,
  SharedStoreReportSchema,
} from '../../protos/gen/tallygate/policy/v1/policy_pb.ts';
import type { ObjectStatus } from '../../translate/plan.ts';
import type { ConnectedSidecar } from '../push/sidecar.ts';
import { type Observation, withObserved } from './conditions.ts';
import { fleetOfGateway, type ProxyPod, proxyPod } from './fleets.ts';
import { replacedAt } from './replaced.ts';
import { userPolicy } from './user-policies.ts';

const fleet = fleetOfGateway('app/ai');
const wanted = { epoch: 3, counter: 7, version: 'v2' };
const version = { epoch: 3n, counter: 7n, version: 'v2' };
const envoyRoutes = ['httproute/app/chat/rule/0', 'httproute/app/chat/rule/1'];

const pod: ProxyPod = {
  uid: 'u1',
  name: 'envoy-1',
  namespace: 'infra',
  fleet,
  hasSidecar: true,
  ready: true,
  terminating: false,
};

type ConfigCheckInit = Extract<MessageInitShape<typeof ConfigCheckSchema>, { $typeName?: never }>;

function connected(configCheck: ConfigCheckInit | undefined, more: Partial<ConnectedSidecar> = {}): ConnectedSidecar {
  return {
    pod: { podName: 'envoy-1', podUid: 'u1', namespace: 'infra' },
    fleet,
    programVersion: '1',
    acknowledged: wanted,
    refused: undefined,
    readsSharedStore: true,
    mayShareStore: true,
    sharedStore: undefined,
    readsSecrets: true,
    mayHaveSecrets: true,
    answersConsole: true,
    contentDestinations: undefined,
    budgets: [],
    rests: [],
    configCheck:
      configCheck &&
      create(ConfigCheckSchema, { expected: 2, ...configCheck, version: configCheck.version ?? version }),
    ...more,
  };
}

const good: Observation = {
  gateways: [{ name: 'app/ai', className: 'tallygate', labels: {} }],
  pods: [pod],
  sidecars: [connected({})],
  published: () => wanted,
  excessBytes: () => 0,
  isCurrent: (_fleet, version) => version === 'v2',
  policy: () => undefined,
  sharedStore: undefined,
  settling: false,
  generatedRoutes: [
    { gateway: 'app/ai', route: '', httpRoute: 'app/entry', rules: 1, envoyRouteNames: ['httproute/app/entry/rule/0'] },
    { gateway: 'app/ai', route: 'app/chat', httpRoute: 'app/chat', rules: 2, envoyRouteNames: envoyRoutes },
    { gateway: 'app/ai', route: 'app/other', httpRoute: 'app/other', rules: 1, envoyRouteNames: ['other'] },
  ],
  verdict: () => undefined,
  replaced: () => undefined,
};

const object = { group: 'tallygate.dev', kind: 'AIGatewayRoute', namespace: 'app', name: 'chat' };
const parentRef = { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'ai' } as const;

function route(accepted: 'Accepted' | 'NoMatchingParent' = 'Accepted'): ObjectStatus {
  return { object, parents: [{ parentRef, conditions: [condition('Accepted', accepted, '', 4)] }] };
}

/** `STATUS REASON` by type. */
function seen(observation: Partial<Observation>, status = route()): Readonly<Record<string, string>> {
  const [out] = withObserved([status], { ...good, ...observation });
  const conditions = [...(out?.parents ?? []), ...(out?.ancestors ?? [])].flatMap((each) => each.conditions);
  assert.ok(conditions.every(({ observedGeneration }) => observedGeneration === 4));
  return Object.fromEntries(conditions.map(({ type, status, reason }) => [type, `${status} ${reason}`]));
}

test('a replaced user’s processor is reported at its listener', () => {
  const spec = { targetRefs: [{ kind: 'Gateway', name: 'ai', sectionName: 'web' }], extProc: [{}] };
  const mine = userPolicy('EnvoyExtensionPolicy', { metadata: { name: 'mine', namespace: 'app' }, spec });
  const at = (sectionName: string | undefined, policy = mine) => {
    const ref = sectionName === undefined ? parentRef : { ...parentRef, sectionName };
    const conditions = [condition('Accepted', 'Accepted', '', 4)];
    const replaced = replacedAt([policy], good.gateways);
    return seen({ replaced }, { object, parents: [{ parentRef: ref, conditions }] })['tallygate.dev/ProcessorReplaced'];
  };
  assert.equal(at('web'), 'True ReplacedByTallygate');
  assert.equal(at(undefined), 'True ReplacedByTallygate');
  assert.equal(at('other'), undefined);
  assert.equal(at('web', { ...mine, namespace: 'other' }), undefined);
  assert.equal(at('web', { ...mine, asks: ['lua'] }), undefined);
  assert.match(replacedAt([mine], good.gateways)('app/ai', 'web') ?? '', /EnvoyExtensionPolicy app\/mine .*; fix: /);
});

test('a route that all sidecars acknowledge and all proxies have is Programmed and Enforcing', () => {
  assert.deepEqual(seen({}), {
    Accepted: 'True Accepted',
    Programmed: 'True Programmed',
    Enforcing: 'True Enforcing',
  });
});

test('a route with quotas is not Enforcing while a proxy does not reach the shared store', () => {
  const quotas = [{ id: 'app/teams/tokens', mode: 'Enforce', onStoreLoss: 'FailOpen' }];
  const rules = [{ route: 'app/chat', quotas: ['app/teams/tokens'] }];
  const policy = () => ({ quotas, virtualHosts: [{ rules, passthrough: [] }] }) as unknown as GatewayPolicy;
  const store = { sharedStore: { problem: 'Secret infra/store does not exist' }, policy };
  const lost = { state: SharedStoreReport_State.LOST, reason: 'WRONGPASS' };
  const sidecars = [connected({}, { sharedStore: create(SharedStoreReportSchema, lost) })];
  assert.equal(seen({ ...store, sidecars })['Enforcing'], 'False QuotaStoreLost');
  assert.equal(seen({ ...store, sidecars: [connected({})] })['Enforcing'], 'Unknown Pending', 'no report yet');
  const available = create(SharedStoreReportSchema, { state: SharedStoreReport_State.AVAILABLE });
  const reached = { ...store, sidecars: [connected({}, { sharedStore: available })] };
  assert.equal(seen(reached)['Enforcing'], 'True Enforcing');
  assert.equal(seen({ sidecars, policy })['Enforcing'], 'True Enforcing', 'no store is shared any more');
  assert.equal(seen({ ...store, sidecars, policy: () => undefined })['Enforcing'], 'True Enforcing', 'no quotas');
  const [status] = withObserved([route()], { ...good, ...store, sidecars });
  assert.equal(
    status?.parents?.[0]?.conditions.find(({ type }) => type === 'Enforcing')?.message,
    '1 of 1 proxies do not reach the shared quota store (pod infra/envoy-1: WRONGPASS; Secret infra/store does not exist); ' +
      'under FailOpen (app/teams/tokens), they serve everything and charge it later',
  );
});

test('an object that is not accepted has no observed conditions', () => {
  assert.deepEqual(seen({}, route('NoMatchingParent')), { Accepted: 'False NoMatchingParent' });
});

test('the conditions are Unknown without ready proxies', () => {
  for (const pods of [
    [],
    [{ ...pod, ready: false }],
    [{ ...pod, terminating: true }],
    [{ ...pod, fleet: 'gateway/app/b' }],
  ]) {
    const { Programmed, Enforcing } = seen({ pods });
    assert.deepEqual([Programmed, Enforcing], ['Unknown NoProxies', 'Unknown NoProxies']);
  }
});

test('one proxy without a sidecar is reported', () => {
  const { Programmed, Enforcing } = seen({ pods: [pod, { ...pod, uid: 'u2', hasSidecar: false }] });
  assert.deepEqual([Programmed, Enforcing], ['False NoSidecar', 'False FilterMissing']);
});

test('pending and refused policies are distinguished', () => {
  const older = { ...wanted, counter: 6, version: 'v1' };
  assert.equal(seen({ sidecars: [] })['Programmed'], 'False Pending');
  assert.equal(seen({ sidecars: [connected({}, { acknowledged: older })] })['Programmed'], 'False Pending');
  const refused = { version: wanted, reason: 'format version 9' };
  assert.equal(seen({ sidecars: [connected({}, { acknowledged: older, refused })] })['Programmed'], 'False Refused');
  const past = { version: older, reason: 'format version 9' };
  assert.equal(seen({ sidecars: [connected({}, { refused: past })] })['Programmed'], 'True Programmed');
});

test('a policy that is too large to be sent is reported by the objects that it would change', () => {
  const older = { ...wanted, counter: 6, version: 'v1' };
  const unsent = { published: () => older, excessBytes: () => 5, sidecars: [connected({}, { acknowledged: older })] };
  assert.equal(seen(unsent)['Programmed'], 'False PolicyTooLarge');
  assert.equal(seen({ ...unsent, isCurrent: () => true })['Programmed'], 'True Programmed');
});

test('a content policy is not Enforcing where a proxy does not have its destination', () => {
  const contentPolicies = [{ name: 'app/kept', destinations: ['OTLPLogs'] }];
  const policy = () => ({ quotas: [], virtualHosts: [], contentPolicies }) as unknown as GatewayPolicy;
  const ancestorRef = { ...parentRef, namespace: 'app' };
  const kept: ObjectStatus = {
    object: { ...object, kind: 'AIContentPolicy', name: 'kept' },
    ancestors: [{ ancestorRef, conditions: [condition('Accepted', 'Accepted', '', 4)] }],
  };
  const enforcing = (contentDestinations: readonly string[] | undefined, status: ObjectStatus) =>
    seen({ policy, sidecars: [connected({}, { contentDestinations })] }, status)['Enforcing'];
  assert.equal(enforcing(['S3'], kept), 'False DestinationNotConfigured');
  assert.equal(enforcing(['OTLPLogs'], kept), 'True Enforcing');
  assert.equal(enforcing(['S3'], route()), 'True Enforcing');
});

test('an older version with the same content of the route counts as current', () => {
  const isCurrent: Observation['isCurrent'] = (_fleet, version, key) =>
    version === 'v1' && key === 'AIGatewayRoute app/chat';
  const older = { ...wanted, counter: 6, version: 'v1' };
  const sidecars = [connected({ version: { ...version, version: 'v1' } }, { acknowledged: older })];
  const { Programmed, Enforcing } = seen({ isCurrent, sidecars });
  assert.deepEqual([Programmed, Enforcing], ['True Programmed', 'True Enforcing']);
});

test('a new leader does not report Pending before sidecars have connected', () => {
  assert.deepEqual(seen({ sidecars: [], settling: true }), { Accepted: 'True Accepted' });
  assert.equal(seen({ pods: [{ ...pod, hasSidecar: false }], settling: true })['Programmed'], 'False NoSidecar');
});

test('a finding about one route affects only that route', () => {
  const findings = (names: readonly string[], total = names.length) => ({ total, names: [...names] });
  const enforcing = (configCheck: ConfigCheckInit) => seen({ sidecars: [connected(configCheck)] })['Enforcing'];
  assert.equal(enforcing({ unfiltered: findings([envoyRoutes[1]!]) }), 'False FilterMissing');
  assert.equal(enforcing({ unfiltered: findings(['other']) }), 'True Enforcing');
  assert.equal(enforcing({ missing: findings([envoyRoutes[0]!]) }), 'False RouteMissing');
  assert.equal(enforcing({ missing: findings(['httproute/app/entry/rule/0']) }), 'False RouteMissing');
  assert.equal(enforcing({ failing: findings([envoyRoutes[0]!]) }), 'False NotAccepted');
  assert.equal(enforcing({ listenersWithoutFilter: findings(['app/ai/http']) }), 'False FilterMissing');
  assert.equal(enforcing({ missing: findings(['other'], 30) }), 'False RouteMissing', 'ours may be among the unnamed');
});

test('a missing config check, or one of another policy, leaves Enforcing unknown', () => {
  const old = { epoch: 3n, counter: 6n, version: 'v1' };
  for (const configCheck of [undefined, { version: old }, { unreadable: 'no answer' }]) {
    assert.equal(seen({ sidecars: [connected(configCheck)] })['Enforcing'], 'Unknown Pending');
  }
});

test('a refusal by Envoy Gateway takes precedence over config checks', () => {
  const verdict = (reason: 'NotAccepted' | 'Overridden' | 'Pending') => (httpRoute: string) =>
    httpRoute === 'app/chat' ? { reason, message: 'because' } : undefined;
  assert.equal(seen({ verdict: verdict('NotAccepted') })['Enforcing'], 'False NotAccepted');
  assert.equal(seen({ verdict: verdict('Overridden') })['Enforcing'], 'False Overridden');
  assert.equal(seen({ verdict: verdict('Pending') })['Enforcing'], 'Unknown Pending');
});

test('proxies of merged Gateways belong to the GatewayClass', () => {
  const className = 'tallygate';
  const metadata = {
    name: 'p',
    namespace: 'n',
    uid: 'u',
    labels: { 'gateway.envoyproxy.io/owning-gatewayclass': className },
  };
  const object = {
    metadata,
    spec: { initContainers: [{ name: 'tallygate' }] },
    status: { conditions: [{ type: 'Ready', status: 'True' }] },
  };
  const merged = proxyPod(object, new Set(['n']));
  assert.deepEqual(merged, { ...pod, uid: 'u', name: 'p', namespace: 'n', fleet: 'class/tallygate' });
  assert.equal(seen({ pods: [{ ...pod, fleet: 'class/tallygate' }] })['Programmed'], 'True Programmed');
  assert.equal(proxyPod({ metadata: { ...metadata, labels: {} } }, new Set(['n'])), undefined);
});

test('a pod in another namespace is not a proxy, whatever its labels', () => {
  const labels = {
    'gateway.envoyproxy.io/owning-gateway-name': 'ai',
    'gateway.envoyproxy.io/owning-gateway-namespace': 'app',
  };
  const seenIn = (namespace: string) =>
    proxyPod({ metadata: { name: 'p', uid: 'u', namespace, labels } }, new Set(['infra']))?.fleet;
  assert.deepEqual(['infra', 'app', 'elsewhere'].map(seenIn), [fleet, fleet, undefined]);
});
