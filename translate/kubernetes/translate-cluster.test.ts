import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { mistake, spoilt } from '../testing.ts';
import type { ClusterPlan, Manifest } from './plan.ts';
import { readObject } from './read.ts';
import { referencesOf } from './references.ts';
import { clusterOf, exampleOptions } from './testing.ts';
import { translateCluster } from './translate-cluster.ts';

const directory = new URL('testdata/', import.meta.url);
const texts = readdirSync(directory)
  .filter((name) => name.endsWith('.in.yaml'))
  .map((name) => readFileSync(new URL(name, directory), 'utf8'));

const certificate = readFileSync(new URL('../envoy/testdata/localhost.crt', import.meta.url), 'utf8');

function planOf(text: string): ClusterPlan {
  return translateCluster(clusterOf(text), exampleOptions);
}

function example(name: string): string {
  return readFileSync(new URL(`${name}.in.yaml`, directory), 'utf8');
}

test('the order of objects does not change the plan', () => {
  const shuffled = fc.constantFrom(...texts).chain((text) => {
    const parts = text.split(/^---$/m);
    return fc.tuple(fc.constant(text), fc.shuffledSubarray(parts, { minLength: parts.length }));
  });
  fc.assert(
    fc.property(shuffled, ([text, parts]) => {
      const [one, other] = [planOf(text), planOf(parts.join('\n---\n'))];
      assert.deepEqual(other.objects, one.objects);
      assert.deepEqual(other.generatedRoutes, one.generatedRoutes);
      assert.deepEqual(other.policyFor(other.gateways), one.policyFor(one.gateways));
      assert.deepEqual(other.statuses, one.statuses);
    }),
    { numRuns: 40 },
  );
});

test('translation accepts any value in any place, and its output stays consistent', () => {
  fc.assert(
    fc.property(fc.constantFrom(...texts), fc.nat(), mistake, (text, seed, wrong) => {
      assertConsistent(planOf(spoilt(text, seed, wrong)));
    }),
    { numRuns: 300 },
  );
});

for (const section of ['jwt', 'oidc'] as const) {
  test(`a login is left out while a SecurityPolicy on the Gateway has ${section}`, () => {
    const login = example('browser-login');
    const policy = (spec: string) => `
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: SecurityPolicy
metadata: { name: mine, namespace: app }
spec: { targetRefs: [{ group: gateway.networking.k8s.io, kind: Gateway, name: ai }], ${spec} }`;
    const logins = (text: string) => planOf(text).objects.filter(({ kind }) => kind === 'SecurityPolicy').length;
    assert.equal(logins(login), 1);
    assert.equal(logins(login + policy(`${section}: {}`)), 0);
    assert.equal(logins(login + policy('cors: {}')), 1);
  });
}

for (const name of [
  'acceptance',
  'listeners',
  'namespaces',
  'shards',
  'endpoints',
  'traffic',
  'teams',
  'quotas',
  'user-policies',
]) {
  test(`the output for ${name} is consistent`, () => {
    const plan = planOf(example(name));
    assert.ok(plan.generatedRoutes.some(({ route }) => route !== ''));
    assertConsistent(plan);
  });
}

test('secret values occur only in their derived Secret', () => {
  for (const text of texts.filter((each) => each.includes('sk-hidden'))) {
    const plan = planOf(text);
    const printed = JSON.stringify([plan, plan.policyFor(plan.gateways)]);
    for (const secret of ['sk-hidden', 'sk-ant-hidden']) {
      assert.ok(!printed.includes(secret), secret);
      assert.ok(!printed.includes(Buffer.from(secret).toString('base64').slice(0, 8)), secret);
    }
  }
  const values = planOf(example('acceptance')).secrets.map(({ data }) => data.credential.reveal());
  assert.deepEqual(values, ['sk-ant-hidden', 'Bearer sk-hidden']);
});

test('a private key in place of a CA certificate is not published', () => {
  const text = example('destinations');
  const [, key = ''] = /tls\.key: \|\n([\s\S]*)/.exec(text) ?? [];
  const secret = key.split('\n').map((line) => line.trim())[1] ?? '';
  assert.ok(secret.length > 40);
  const plan = planOf(text);
  assert.ok(!JSON.stringify([plan, plan.policyFor(plan.gateways)]).includes(secret));
  const beside = planOf(text.replace('tls.key: |\n', `tls.key: |\n${certificate.replaceAll(/^/gm, '    ')}\n`));
  assert.ok(!JSON.stringify(beside).includes(secret), 'beside a certificate');
});

test('an AIBackend cannot lead to the proxy, a metadata service or a Service of another namespace', () => {
  const hosts = (name: string) => {
    const text = example('destinations').replace('name: tgi.app.svc', `name: "${name}"`);
    return planOf(text).objects.filter(
      ({ metadata, kind }) => kind === 'Backend' && /-own-service-/.test(metadata.name),
    ).length;
  };
  for (const name of [
    'api.example.com',
    '10.0.0.7',
    'fd00::7',
    'tgi.app.svc',
    'tgi.app.svc.cluster.local',
    'pod-0.tgi.app.svc',
  ]) {
    assert.equal(hosts(name), 1, name);
  }
  const refused =
    '0.0.0.0 :: ::ffff:127.0.0.1 ::ffff:7f00:1 ::127.0.0.1 127.0.0.1 127.1 2130706433 0x7f.1 010.0.0.1 169.254.169.254 fe80::1 ff02::1 224.0.0.1';
  const more =
    '64:ff9b::a9fe:a9fe 2002:7f00:1:: 100.100.100.200 fd00:ec2::254 168.63.129.16 metadata.google.internal METADATA.google.internal a.localhost';
  const inside =
    'kubernetes.default.svc secret-llm.models secret-llm.models.svc pod-0.secret-llm.models secret-llm.models.svc.cluster.local 127-0-0-1.app.pod x.cluster.local';
  for (const name of [refused, more, inside].join(' ').split(' ')) {
    assert.equal(hosts(name), 0, name);
  }
});

test('the condition RetriesNotCounted reports retries that are billed but not counted', () => {
  const warned = (retry: string, edit = (text: string) => text) =>
    JSON.stringify(
      planOf(edit(example('user-policies').replace('retry: { numRetries: 4 }', `retry: ${retry}`))).statuses,
    ).includes('RetriesNotCounted');
  for (const retry of [
    '{}',
    '{ numRetries: 4 }',
    '{ retryOn: { triggers: [5xx] } }',
    '{ retryOn: { triggers: [connect-failure], httpStatusCodes: [429] } }',
    '{ retryOn: { triggers: [connect-failure] }, perRetry: { timeout: 5s } }',
  ]) {
    assert.equal(warned(retry), true, retry);
  }
  for (const retry of ['{ numRetries: 0 }', '{ retryOn: { triggers: [connect-failure, refused-stream] } }']) {
    assert.equal(warned(retry), false, retry);
  }
  const own = (text: string) =>
    text.replace('{ name: silent, models: [a],', '{ name: silent, models: [a], retries: { attempts: 1 },');
  assert.equal(warned('{}', own), false, 'rules with retries of their own');
});

test('the condition BudgetEndsWithPod reports windows of more than an hour', () => {
  const reported = (window: string) => {
    const text = example('quotas').replaceAll(/window: \{ type: .* \}(?= \}\])/g, `window: ${window}`);
    return JSON.stringify(planOf(text).statuses).includes('BudgetEndsWithPod');
  };
  for (const window of [
    '{ type: Lifetime }',
    '{ type: Sliding, sliding: { duration: 61m } }',
    '{ type: Calendar, calendar: { unit: Day } }',
  ]) {
    assert.equal(reported(window), true, window);
  }
  for (const window of [
    '{ type: Sliding, sliding: { duration: 60m } }',
    '{ type: Calendar, calendar: { unit: Hour } }',
  ]) {
    assert.equal(reported(window), false, window);
  }
});

test('a proxy receives only what its Gateways use', () => {
  const plan = planOf(example('quotas'));
  const policy = plan.policyFor(['app/second']);
  assert.deepEqual(
    policy.virtualHosts.flatMap(({ rules }) => rules.map(({ route }) => route)),
    ['app/elsewhere'],
  );
  assert.deepEqual(policy.quotas, []);
  assert.deepEqual(plan.policyFor([]).backends, []);
  assert.notEqual(policy.version, plan.policyFor(plan.gateways).version);
});

test('the key of a backend without routes gets no derived Secret', () => {
  const text = example('acceptance').replace('backendRefs: [{ name: anthropic }]', 'backendRefs: [{ name: tgi }]');
  assert.deepEqual(
    planOf(text).secrets.map(({ data }) => data.credential.reveal()),
    ['Bearer sk-hidden'],
  );
});

test('an edit of one backend does not change the routes of others', () => {
  const before = planOf(example('acceptance'));
  const after = planOf(example('acceptance').replace('{ name: openai, weight: 3 }, ', ''));
  const gone = before.generatedRoutes.filter(
    ({ httpRoute }) => !after.generatedRoutes.some((each) => each.httpRoute === httpRoute),
  );
  assert.deepEqual(
    gone.map(({ httpRoute }) => httpRoute.replace(/-[0-9a-f]+$/, '')),
    ['app/tallygate-chat-openai'],
  );
  assert.deepEqual(
    after.generatedRoutes,
    before.generatedRoutes.filter((each) => !gone.includes(each)),
  );
});

test('changed retries keep the names of the HTTPRoutes', () => {
  const text = example('acceptance');
  const names = (edited: string) => planOf(edited).generatedRoutes;
  const edited = text.replace('    - name: claude\n', '    - name: claude\n      retries: { attempts: 3 }\n');
  assert.notEqual(edited, text);
  assert.deepEqual(names(edited), names(text));
});

test('only objects that are referred to and permitted are read', () => {
  assert.deepEqual(referencesOf(clusterOf(example('namespaces'))), {
    secrets: ['vault/openai'],
    configMaps: [],
    services: ['models/vllm'],
  });
  assert.deepEqual(referencesOf(clusterOf(example('refused'))).secrets, ['app/keys', 'app/missing']);
});

test('a reference to an invalid object is not reported as a missing object', () => {
  const world = clusterOf(example('acceptance').replace('schema: Anthropic', 'schema: Unheard'));
  assert.deepEqual(world.refused, [{ group: 'tallygate.dev', kind: 'AIBackend', namespace: 'app', name: 'anthropic' }]);
  const { problems } = translateCluster(world, exampleOptions);
  assert.deepEqual(
    problems.map(({ reason }) => reason),
    ['BackendNotReady'],
  );
  for (const odd of [undefined, null, 7, {}, { apiVersion: 'v1', kind: 'Secret' }]) {
    readObject(odd);
  }
});

/** Asserts that every named object exists, within the limits of Gateway API and Kubernetes. */
function assertConsistent({ objects, secrets, generatedRoutes, gateways, policyFor }: ClusterPlan): void {
  const key = (kind: string, namespace: string, name: unknown) => `${kind} ${namespace}/${name}`;
  const existing = new Set([
    ...objects.map(({ kind, metadata }) => key(kind, metadata.namespace, metadata.name)),
    ...secrets.map(({ metadata }) => key('Secret', metadata.namespace, metadata.name)),
  ]);
  assert.equal(existing.size, objects.length + secrets.length, 'names are unique');
  for (const { metadata } of [...objects, ...secrets]) {
    assert.match(metadata.name, /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/);
    for (const value of Object.values(metadata.labels)) {
      assert.match(value, /^[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?$/);
    }
  }
  const named = (object: Manifest, kind: string, name: unknown): void => {
    assert.ok(existing.has(key(kind, object.metadata.namespace, name)), `${kind} ${name} of ${object.metadata.name}`);
  };
  const matched = new Map<string, readonly string[]>();
  for (const object of objects) {
    for (const { kind, name } of references(object)) {
      // A login's client secret is the user's.
      if (object.kind !== 'SecurityPolicy' || kind !== 'Secret') {
        named(object, kind, name);
      }
    }
    if (object.kind !== 'HTTPRoute') {
      continue;
    }
    named(object, 'EnvoyExtensionPolicy', 'tallygate');
    const traffic = object.metadata.labels['tallygate.dev/traffic'];
    if (traffic !== undefined) {
      named(object, 'BackendTrafficPolicy', `tallygate-traffic-${traffic}`);
    }
    const rules = (object as unknown as HttpRoute).spec.rules;
    assert.ok(rules.length >= 1 && rules.length <= 16);
    assert.equal(new Set(rules.map(({ name }) => name)).size, rules.length);
    const ids = rules.flatMap(({ matches }) =>
      matches.flatMap(({ headers }) => (headers ?? []).map(({ value }) => value)),
    );
    matched.set(`${object.metadata.namespace}/${object.metadata.name}`, ids);
  }
  const httpRoutes = new Map(
    generatedRoutes.flatMap(({ httpRoute, envoyRouteNames }) => envoyRouteNames.map((name) => [name, httpRoute])),
  );
  for (const { routeNames, rules, passthrough } of policyFor(gateways).virtualHosts) {
    const own = [...new Set(routeNames.map((name) => httpRoutes.get(name) ?? ''))];
    const ids = own.flatMap((name) => matched.get(name) ?? []);
    assert.equal(new Set(ids).size, ids.length, 'one rule for each id');
    const wanted = [
      ...rules.flatMap(({ targets }) => targets.map(({ id }) => id)),
      ...passthrough.map((each) => each.target),
    ];
    for (const id of wanted) {
      assert.ok(ids.includes(id), id);
    }
  }
}

interface HttpRoute {
  readonly spec: {
    readonly rules: readonly {
      readonly name: string;
      readonly matches: readonly { readonly headers?: readonly { readonly value: string }[] }[];
    }[];
  };
}

/**
 * Returns every `{kind, name}` inside that Tallygate generated: of the same namespace, and not a
 * user's Service, Gateway or HTTPRoute.
 */
function references(value: unknown): readonly { readonly kind: string; readonly name: string }[] {
  if (typeof value !== 'object' || value === null) {
    return [];
  }
  const { kind, name } = value as { readonly kind?: unknown; readonly name?: unknown };
  const nested = Object.entries(value).flatMap(([field, each]) => (field === 'metadata' ? [] : references(each)));
  const generatedKinds = ['Backend', 'HTTPRouteFilter', 'ConfigMap', 'Secret'];
  if (typeof kind !== 'string' || typeof name !== 'string' || !generatedKinds.includes(kind)) {
    return nested;
  }
  return [{ kind, name }, ...nested];
}
