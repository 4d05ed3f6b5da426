import assert from 'node:assert/strict';
import { test } from 'node:test';
import { policyText } from '../../contract/policy-text.ts';
import { clusterOf, exampleOptions } from '../kubernetes/testing.ts';
import { translateCluster } from '../kubernetes/translate-cluster.ts';

const api = 'tallygate.dev/v1alpha1';
const base = [
  { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'platform' } },
  ...['large', 'small'].map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })),
  {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: { namespace: 'platform', name: 'ai', uid: 'g', generation: 1 },
    spec: {
      gatewayClassName: 'tallygate',
      listeners: [{ name: 'http', port: 80, protocol: 'HTTP', allowedRoutes: { namespaces: { from: 'All' } } }],
    },
  },
  ...['large', 'small'].map((namespace) => ({
    apiVersion: api,
    kind: 'AIBackend',
    metadata: { namespace, name: 'b', uid: `b-${namespace}`, generation: 1 },
    spec: { schema: 'OpenAI', endpoint: { type: 'Hostname', hostname: { name: 'api.example.com', port: 443 } } },
  })),
];

let age = 0;
const route = (namespace: string, name: string, spec: object) => ({
  apiVersion: api,
  kind: 'AIGatewayRoute',
  metadata: {
    namespace,
    name,
    uid: `${namespace}-${name}`,
    generation: 1,
    creationTimestamp: new Date(Date.UTC(2026, 0, 1, 0, 0, age++)).toISOString(),
  },
  spec: { parentRefs: [{ name: 'ai', namespace: 'platform' }], ...spec },
});
const rules = (count: number, models: (rule: number) => readonly string[], more: object = {}) =>
  Array.from({ length: count }, (_, index) => ({
    name: `r${index}`,
    models: models(index),
    backendRefs: [{ name: 'b' }],
    ...more,
  }));
const plan = (routes: readonly object[]) =>
  translateCluster(clusterOf([...base, ...routes].map((each) => JSON.stringify(each)).join('\n---\n')), exampleOptions);
const names = (prefix: string) => (rule: number) =>
  Array.from({ length: 64 }, (_, model) => `${prefix}-${rule}-${model}-`.padEnd(240, 'm'));

test('oversized routes of one namespace do not remove other namespaces from the policy', () => {
  const hostnames = Array.from({ length: 16 }, (_, index) => `h${index}.example.com`);
  const large = Array.from({ length: 8 }, (_, index) =>
    route('large', `big-${index}`, { hostnames, rules: rules(64, names(String(index))) }),
  );
  const victim = route('small', 'victim', { rules: rules(1, () => ['gpt-4o']) });
  const made = plan([...large, victim]);
  const refused = made.problems.filter(({ reason }) => reason === 'PolicyTooLarge');
  assert.deepEqual(
    refused.map(({ object }) => object?.name),
    ['big-4', 'big-5', 'big-6', 'big-7'],
    'the youngest',
  );
  assert.match(refused[0]!.message, /namespace large has .* bytes of rules; the maximum is 4194304/);
  const accepted = (name: string) =>
    made.statuses.find(({ object }) => object.name === name)?.parents?.[0]?.conditions[0];
  assert.equal(accepted('big-3')?.status, 'True');
  assert.equal(accepted('big-4')?.reason, 'PolicyTooLarge');
  assert.equal(accepted('victim')?.status, 'True');
  const policy = made.policyFor(['platform/ai']);
  const bytes = policyText(policy).length;
  assert.ok(bytes < 8 * 1024 * 1024, `${bytes} bytes`);
  assert.ok(policy.virtualHosts.some((entry) => entry.rules.some((rule) => rule.route === 'small/victim')));
});

test('globs and parts of patterns are bounded per namespace', () => {
  const header = (value: string) => ({ headers: [{ type: 'RegularExpression', name: 'x-team', value }] });
  const { problems } = plan([
    route('large', 'globs', {
      rules: rules(64, (rule) => Array.from({ length: 64 }, (_, model) => `*${rule}x${model}*`)),
    }),
    route('large', 'one-more', { rules: rules(1, () => ['one-*']) }),
    route('large', 'none', { rules: rules(1, () => ['one']) }),
    route('large', 'pattern', { rules: rules(5, () => ['two'], header('a{99}b{99}')).slice(0, 2) }),
    route('large', 'second-pattern', { rules: rules(2, (rule) => [`three-${rule}`], header('c{99}')) }),
    route('large', 'patterns', { rules: rules(3, (rule) => [`four-${rule}`], header('d{99}e{99}')) }),
    route('small', 'pattern', { rules: rules(2, (rule) => [`five-${rule}`], header('c{99}')) }),
  ]);
  assert.deepEqual(
    problems
      .filter(({ severity, reason }) => severity === 'Error' && reason !== 'RulesOverlap')
      .map(({ object, reason }) => `${object?.namespace}/${object?.name} ${reason}`),
    ['large/one-more PolicyTooLarge', 'large/patterns Invalid', 'large/second-pattern PolicyTooLarge'],
  );
});
