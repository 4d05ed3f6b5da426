import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clusterOf, exampleOptions } from '../kubernetes/testing.ts';
import { translateCluster } from '../kubernetes/translate-cluster.ts';

const api = 'tallygate.dev/v1alpha1';
const namespaces = ['large', 'small'];
const base = [
  ...['platform', ...namespaces].map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })),
  {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: { namespace: 'platform', name: 'ai', uid: 'g', generation: 1 },
    spec: {
      gatewayClassName: 'tallygate',
      listeners: [{ name: 'http', port: 80, protocol: 'HTTP', allowedRoutes: { namespaces: { from: 'All' } } }],
    },
  },
  ...namespaces.flatMap((namespace) => [
    {
      apiVersion: api,
      kind: 'AIBackend',
      metadata: { namespace, name: 'b', uid: `b-${namespace}`, generation: 1 },
      spec: { schema: 'OpenAI', endpoint: { type: 'Hostname', hostname: { name: 'api.example.com', port: 443 } } },
    },
    {
      apiVersion: api,
      kind: 'AIGatewayRoute',
      metadata: { namespace, name: 'r', uid: `r-${namespace}`, generation: 1 },
      spec: {
        parentRefs: [{ name: 'ai', namespace: 'platform' }],
        rules: [{ name: 'all', models: [namespace], backendRefs: [{ name: 'b' }] }],
      },
    },
  ]),
];

let age = 0;
const policy = (namespace: string, name: string, allow: readonly object[]) => ({
  apiVersion: api,
  kind: 'AIAccessPolicy',
  metadata: {
    namespace,
    name,
    uid: `${namespace}-${name}`,
    generation: 1,
    creationTimestamp: new Date(Date.UTC(2026, 0, 1, 0, 0, age++)).toISOString(),
  },
  spec: {
    targetRefs: [{ group: 'tallygate.dev', kind: 'AIGatewayRoute', name: 'r' }],
    authenticate: [{ name: 'keys', type: 'APIKey', apiKey: { secretSelector: { matchLabels: {} } } }],
    allow,
  },
});
const rules = (count: number, rule: object) =>
  Array.from({ length: count }, (_, index) => ({ name: `a${index}`, ...rule }));

/** Returns the names of the policies that admit nobody, and their problem. */
function closedBy(policies: readonly object[]) {
  const text = [...base, ...policies].map((each) => JSON.stringify(each)).join('\n---\n');
  const { policyFor, problems } = translateCluster(clusterOf(text), exampleOptions);
  const closed = policyFor(['platform/ai']).accessPolicies.filter(({ allow }) => allow.length === 0);
  return {
    closed: closed.map(({ name }) => name),
    messages: problems.filter(({ severity }) => severity === 'Error').map(({ message }) => message),
  };
}

test('conditions of one namespace cannot take the time of others', () => {
  const slow = rules(64, { principals: [{ authenticated: true }], when: 'caller.groups.exists(g, 1 % 0 == 1)' });
  const quick = rules(64, { principals: [{ authenticated: true }], when: 'request.maxOutputTokens <= 4096' });
  const { closed, messages } = closedBy([
    policy('large', 'older', quick),
    policy('large', 'younger', slow),
    policy('small', 'other', quick),
  ]);
  assert.deepEqual(closed, ['large/younger']);
  assert.match(messages.join(), /^with this policy, namespace large has \d+ steps of conditions, so the policy admits/);
});

test('access policies of one namespace cannot make the policy too large for others', () => {
  const name = (index: number) => `u${index}`.padEnd(256, 'u');
  const principals = Array.from({ length: 64 }, (_, index) => ({
    tenant: name(index),
    user: name(index),
    group: name(index),
  }));
  const many = Array.from({ length: 3 }, (_, index) => policy('large', `p${index}`, rules(64, { principals })));
  const { closed, messages } = closedBy([...many, policy('small', 'other', rules(1, { principals }))]);
  assert.deepEqual(closed, ['large/p2']);
  assert.match(messages[0]!, /has \d+ bytes of access policies and API keys/);
});
