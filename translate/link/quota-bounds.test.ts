import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clusterOf, exampleOptions } from '../kubernetes/testing.ts';
import { translateCluster } from '../kubernetes/translate-cluster.ts';

let age = 0;
const policy = (namespace: string, name: string, quotas: readonly object[]) => ({
  apiVersion: 'tallygate.dev/v1alpha1',
  kind: 'AIQuotaPolicy',
  metadata: {
    namespace,
    name,
    uid: `${namespace}-${name}`,
    generation: 1,
    creationTimestamp: new Date(Date.UTC(2026, 0, 1, 0, 0, age++)).toISOString(),
  },
  spec: { targetRefs: [{ group: 'tallygate.dev', kind: 'AIGatewayRoute', name: 'r' }], quotas },
});
const quotas = (count: number, more: object) =>
  Array.from({ length: count }, (_, index) => ({
    name: `q${index}`,
    limit: { type: 'Requests', amount: 1 },
    window: { type: 'Lifetime' },
    key: [{ type: 'Tenant' }],
    ...more,
  }));

/** Returns the policies with too many steps, and their problem. */
function refusedOf(policies: readonly object[]) {
  const text = policies.map((each) => JSON.stringify(each)).join('\n---\n');
  const { problems } = translateCluster(clusterOf(text), exampleOptions);
  return problems
    .filter(({ message }) => message.includes(' steps'))
    .map(({ object, message }) => [`${object?.namespace}/${object?.name}`, message]);
}

/** About 52,000 steps. */
const costly = 'caller.groups.exists(g, 1 % 0 == 1)';

test('the conditions of the quotas of a namespace are bounded together, and the youngest policies closed', () => {
  const names = Array.from({ length: 8 }, (_, index) => `p${index}`);
  const found = refusedOf([
    ...names.map((name) => policy('large', name, quotas(1, { when: costly }))),
    policy('small', 'victim', quotas(1, { when: costly })),
  ]);
  assert.ok(found.length > 0 && found.length < names.length, String(found.length));
  assert.deepEqual(
    found.map(([name]) => name).toSorted(),
    names
      .slice(-found.length)
      .map((name) => `large/${name}`)
      .toSorted(),
  );
  assert.match(
    String(found[0]?.[1]),
    /^with this policy, the conditions of the quotas of namespace large take \d+ steps, so its targets are closed; the maximum is 300000$/,
  );
});

test('the overrides of a policy count, because each new key evaluates them', () => {
  const overrides = Array.from({ length: 16 }, () => ({ when: 'tenant.matches("[a-z]{60}x")', amount: 2 }));
  const [few, ...others] = refusedOf([policy('large', 'few', quotas(1, { overrides: overrides.slice(0, 1) }))]);
  assert.deepEqual([few, others], [undefined, []]);
  const [many] = refusedOf([policy('large', 'many', quotas(16, { overrides }))]);
  assert.match(String(many?.[1]), /^the conditions take \d+ steps together; the maximum is 100000$/);
});
