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
const policy = (namespace: string, name: string, rules: readonly object[]) => ({
  apiVersion: api,
  kind: 'AIGuardrailPolicy',
  metadata: {
    namespace,
    name,
    uid: `${namespace}-${name}`,
    generation: 1,
    creationTimestamp: new Date(Date.UTC(2026, 0, 1, 0, 0, age++)).toISOString(),
  },
  spec: { targetRefs: [{ group: 'tallygate.dev', kind: 'AIGatewayRoute', name: 'r' }], rules },
});
const rules = (count: number, rule: object) =>
  Array.from({ length: count }, (_, index) => ({ name: `a${index}`, action: { type: 'Monitor' }, ...rule }));
const patterns = (expressions: readonly string[]) => ({ detect: { type: 'Pattern', pattern: { expressions } } });
const email = { detect: { type: 'Builtin', builtin: { detectors: ['Email'] } } };

/** Returns the policies that are in force, and the problems of the others. */
function bounded(objects: readonly object[]) {
  const text = [...base, ...objects].map((each) => JSON.stringify(each)).join('\n---\n');
  const { policyFor, detectorSecretsFor, problems } = translateCluster(clusterOf(text), exampleOptions);
  return {
    inForce: (policyFor(['platform/ai']).guardrailPolicies ?? []).map(({ name }) => name),
    secrets: detectorSecretsFor(['platform/ai']).map(({ id }) => id),
    messages: problems.filter(({ severity }) => severity === 'Error').map(({ message }) => message),
  };
}

test('conditions of guardrails of one namespace cannot take the time of others', () => {
  const slow = rules(32, { ...email, when: 'caller.groups.exists(g, 1 % 0 == 1)' });
  const quick = rules(32, { ...email, when: 'request.model == "m"' });
  const { inForce, messages } = bounded([
    policy('large', 'older', quick),
    ...Array.from({ length: 3 }, (_, index) => policy('large', `younger-${index}`, slow)),
    policy('small', 'other', quick),
  ]);
  assert.ok(inForce.includes('large/older') && inForce.includes('small/other'));
  assert.ok(!inForce.includes('large/younger-2'));
  assert.match(
    messages[0]!,
    /^with this policy, namespace large has \d+ steps of conditions of guardrails, so the pol/,
  );
});

test('expressions of one namespace cannot take the time of others, and the oldest policies stay', () => {
  const many = rules(16, patterns(Array.from({ length: 8 }, (_, index) => `name${index}[a-z]{20}x`)));
  const policies = Array.from({ length: 8 }, (_, index) => policy('large', `p${index}`, many));
  const { inForce, messages } = bounded([...policies.toReversed(), policy('small', 'other', many)]);
  assert.equal(inForce.at(0), 'large/p0');
  assert.ok(!inForce.includes('large/p7') && inForce.includes('small/other'));
  assert.match(messages[0]!, /has \d+ parts of expressions of guardrails/);
});

test('secrets of one namespace cannot make the message to the sidecars too large', () => {
  const secret = (name: string) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { namespace: 'large', name },
    data: { 'api-key': Buffer.from('k'.repeat(100 * 1024)).toString('base64') },
  });
  const asking = (name: string) =>
    policy('large', name, rules(2, { detect: { type: 'Lakera', lakera: { secretRef: { name } } } }));
  const names = ['s0', 's1', 's2'];
  const { inForce, secrets, messages } = bounded([...names.map(secret), ...names.map(asking)]);
  assert.deepEqual(inForce, ['large/s0', 'large/s1']);
  assert.deepEqual(secrets, ['large/s0/api-key', 'large/s1/api-key']);
  assert.match(messages[0]!, /has 307200 bytes of secrets for services of guardrails.*the maximum is 262144/);
});
