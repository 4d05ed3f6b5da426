import assert from 'node:assert/strict';
import { test } from 'node:test';
import { difference, isOurs, replacement, stamped } from './difference.ts';
import type { KubeObject } from './object.ts';
import { hasRemovals } from './write.ts';

const wanted = stamped({
  apiVersion: 'gateway.networking.k8s.io/v1',
  kind: 'HTTPRoute',
  metadata: { name: 'chat', namespace: 'app', labels: { 'app.kubernetes.io/managed-by': 'tallygate' } },
  spec: { hostnames: ['a.example'], rules: [{ name: 'one', matches: [{ path: { value: '/' } }] }] },
});

/** Returns the object as a server does: with defaults, a status and managed fields. */
function actual(
  change: (object: { metadata: Record<string, unknown>; spec: Record<string, unknown> }) => void = () => {},
): KubeObject {
  const {
    apiVersion: _apiVersion,
    kind: _kind,
    ...content
  } = structuredClone(wanted) as KubeObject & { spec: Record<string, unknown> };
  const object = {
    ...content,
    metadata: {
      ...content.metadata,
      uid: 'u',
      resourceVersion: '7',
      managedFields: [
        { manager: 'tallygate', fieldsV1: { 'f:metadata': {}, 'f:spec': {} } },
        { manager: 'envoy-gateway', subresource: 'status', fieldsV1: { 'f:status': {} } },
        { manager: 'kubectl-label', fieldsV1: { 'f:metadata': { 'f:labels': {} } } },
      ],
    },
    status: { parents: [] },
  };
  (object.spec['rules'] as { matches: { path: Record<string, string> }[] }[])[0]!.matches[0]!.path['type'] =
    'PathPrefix';
  change(object as never);
  return object;
}

test('defaults, a status and labels of others make no difference', () => {
  assert.equal(difference(wanted, actual()), 'none');
});

test('every change of the wanted object makes a difference', () => {
  const changes: Parameters<typeof actual>[0][] = [
    ({ spec }) => delete spec['hostnames'],
    ({ spec }) => (spec['hostnames'] = ['a.example', 'b.example']),
    ({ spec }) => (spec['rules'] = []),
    ({ metadata }) => (metadata['labels'] = {}),
    ({ metadata }) => (metadata['annotations'] = {}),
  ];
  for (const change of changes) {
    assert.equal(difference(wanted, actual(change)), 'apply');
  }
});

test('the digest shows that a field is no longer wanted', () => {
  const { hostnames: _, ...spec } = wanted['spec'] as Record<string, unknown>;
  const { annotations: __, ...metadata } = wanted.metadata;
  assert.equal(difference(stamped({ ...wanted, metadata, spec }), actual()), 'apply');
});

test('an object with a field of another manager is replaced', () => {
  const foreign = actual(({ metadata }) => {
    (metadata['managedFields'] as object[]).push({
      manager: 'kubectl-edit',
      fieldsV1: { 'f:spec': { 'f:useDefaultGateways': {} } },
    });
  });
  assert.equal(difference(wanted, foreign), 'replace');
});

test('an object that was replaced before is replaced again', () => {
  const replaced = (change: Parameters<typeof actual>[0] = () => {}) =>
    actual((object) => {
      const own = { manager: 'tallygate', operation: 'Update', fieldsV1: { 'f:spec': { 'f:hostnames': {} } } };
      (object.metadata['managedFields'] as object[]).push(own);
      change(object);
    });
  assert.equal(difference(wanted, replaced()), 'none');
  assert.equal(
    difference(
      wanted,
      replaced(({ spec }) => (spec['rules'] = [])),
    ),
    'replace',
  );
});

test('a replacement keeps the metadata of others and removes their ownership of the rest', () => {
  const there = actual(({ metadata }) => {
    Object.assign(metadata, { finalizers: ['a'], labels: { team: 'b' } });
    (metadata['managedFields'] as object[]).push({ manager: 'argo', fieldsV1: { 'f:spec': {} } });
  });
  const { metadata } = replacement(wanted, there);
  assert.deepEqual([metadata.finalizers, metadata.resourceVersion], [['a'], '7']);
  assert.deepEqual(metadata.labels, { team: 'b', ...wanted.metadata.labels });
  const writers = metadata.managedFields?.map(({ manager }) => manager);
  assert.deepEqual(writers, ['tallygate', 'envoy-gateway', 'kubectl-label']);
});

test('a Secret has no digest of its value', () => {
  const secret: KubeObject = { kind: 'Secret', metadata: { name: 'a', namespace: 'b' }, data: { credential: 'eA==' } };
  assert.deepEqual(stamped(secret), secret);
  assert.equal(difference(secret, { ...secret, data: { credential: 'eQ==' } }), 'apply');
  assert.equal(difference(secret, { ...secret, type: 'Opaque' }), 'none');
});

test('an object is ours if Tallygate has written it, whatever its label', () => {
  assert.equal(isOurs(actual()), true);
  const written = (...managedFields: readonly object[]) =>
    actual(({ metadata }) => Object.assign(metadata, { managedFields }));
  const fieldsV1 = { 'f:spec': {} };
  assert.equal(isOurs(written({ manager: 'tallygate', operation: 'Update', fieldsV1 })), true, 'replaced');
  assert.equal(
    isOurs(written({ manager: 'kubectl', operation: 'Update', fieldsV1 })),
    false,
    'a copy, label, digest and all',
  );
  assert.equal(
    isOurs(written({ manager: 'tallygate', subresource: 'status', fieldsV1 }, { manager: 'kubectl', fieldsV1 })),
    false,
  );
  assert.equal(isOurs(written()), true, 'nobody knows who wrote it, but it has our digest');
  const { namespace, name, labels } = wanted.metadata;
  assert.equal(isOurs({ metadata: { namespace, name, ...(labels && { labels }) } }), false, 'the label alone');
});

test('objects that others have written are never removed', () => {
  const resource = { apiVersion: 'v1', kind: 'Secret', plural: 'secrets' };
  const theirs = actual(({ metadata }) =>
    Object.assign(metadata, { managedFields: [{ manager: 'kubectl', fieldsV1: { 'f:data': {} } }] }),
  );
  assert.equal(hasRemovals([{ resource, objects: [], actual: new Map([['app/chat', theirs]]) }]), false);
  assert.equal(hasRemovals([{ resource, objects: [], actual: new Map([['app/chat', actual()]]) }]), true);
});
