import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clusterOf, exampleOptions } from '../kubernetes/testing.ts';
import { translateCluster } from '../kubernetes/translate-cluster.ts';

const api = 'tallygate.dev/v1alpha1';
const gateway = 'gateway.networking.k8s.io';
const object = (apiVersion: string, kind: string, namespace: string, name: string, spec: object) => ({
  apiVersion,
  kind,
  metadata: { namespace, name, uid: `${kind}-${namespace}-${name}`, generation: 1 },
  spec,
});
const base = [
  ...['platform', 'team'].map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })),
  object(`${gateway}/v1`, 'Gateway', 'platform', 'ai', {
    gatewayClassName: 'tallygate',
    listeners: [{ name: 'http', port: 80, protocol: 'HTTP', allowedRoutes: { namespaces: { from: 'All' } } }],
  }),
  object(api, 'AIBackend', 'team', 'b', {
    schema: 'OpenAI',
    endpoint: { type: 'Hostname', hostname: { name: 'api.example.com', port: 443 } },
  }),
  object(api, 'AIGatewayRoute', 'team', 'r', {
    parentRefs: [{ name: 'ai', namespace: 'platform' }],
    rules: [{ name: 'all', backendRefs: [{ name: 'b' }] }],
  }),
  object(api, 'AIQuotaPolicy', 'platform', 'tenants', {
    targetRefs: [{ group: gateway, kind: 'Gateway', name: 'ai' }],
    quotas: [
      {
        name: 'tokens',
        limit: { type: 'TotalTokens', amount: 1 },
        window: { type: 'Calendar', calendar: { unit: 'Hour' } },
        key: [{ type: 'Tenant' }],
      },
    ],
  }),
];
const access = (namespace: string, target: object) =>
  object(api, 'AIAccessPolicy', namespace, 'callers', {
    targetRefs: [target],
    authenticate: [{ name: 'keys', type: 'APIKey', apiKey: { secretSelector: { matchLabels: {} } } }],
    allow: [{ name: 'all', principals: [{ authenticated: true }] }],
  });
const ofTeam = access('team', { group: 'tallygate.dev', kind: 'AIGatewayRoute', name: 'r' });
const ofPlatform = access('platform', { group: gateway, kind: 'Gateway', name: 'ai' });

test('with a shared store, a quota applies in total and outlives its pods', () => {
  const spec = {
    targetRefs: [{ group: gateway, kind: 'Gateway', name: 'ai' }],
    quotas: [{ name: 'money', limit: { type: 'TotalTokens', amount: 1 }, window: { type: 'Lifetime' } }],
  };
  const text = [...base, object(api, 'AIQuotaPolicy', 'platform', 'teams', spec)]
    .map((each) => JSON.stringify(each))
    .join('\n---\n');
  const seen = (sharesQuotas: boolean) => {
    const { statuses } = translateCluster(clusterOf(text), { ...exampleOptions, sharesQuotas });
    const conditions = statuses.find((each) => each.object.name === 'teams')?.ancestors?.[0]?.conditions ?? [];
    const accepted = conditions.find(({ type }) => type === 'Accepted');
    return [accepted?.message, conditions.some(({ type }) => type === 'tallygate.dev/BudgetEndsWithPod')];
  };
  assert.match(String(seen(false)[0]), /^each proxy pod of the Gateway counts separately/);
  assert.equal(seen(false)[1], true);
  assert.deepEqual(seen(true), ['all proxy pods count in the shared quota store: the limits apply in total', false]);
});

function untrusted(policies: readonly object[]): string | undefined {
  const text = [...base, ...policies].map((each) => JSON.stringify(each)).join('\n---\n');
  const { statuses } = translateCluster(clusterOf(text), exampleOptions);
  const found = statuses.find((each) => each.object.kind === 'AIQuotaPolicy')?.ancestors?.[0]?.conditions;
  return found?.find(({ type }) => type === 'tallygate.dev/UntrustedKey')?.reason;
}

test('the status of a quota says when the callers of a tenant are named by the tenant', () => {
  assert.equal(untrusted([]), 'NotIdentified');
  assert.equal(untrusted([ofTeam]), 'OtherNamespace');
  assert.equal(untrusted([ofPlatform]), undefined);
  assert.equal(untrusted([ofPlatform, ofTeam]), undefined, 'the outermost policy identifies callers');
});
