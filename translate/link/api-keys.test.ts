import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApiKeySecret } from '../world.ts';
import { apiKeyShards, indexApiKeys } from './api-keys.ts';

const standalone = { type: 'Standalone', hasCaBundle: false } as const;
const cluster = {
  type: 'Kubernetes',
  reach: { clusterDomain: 'cluster.local', allowedDestinations: [] },
  identityNamespaces: [],
  sharesQuotas: false,
  hasPatchPolicies: true,
  namespaces: new Map(),
  services: new Map(),
} as const;

function secret(name: string, digest: string, creationTimestamp?: string): ApiKeySecret {
  return {
    metadata: { name, namespace: 'app', labels: { team: 'a' }, ...(creationTimestamp && { creationTimestamp }) },
    key: { digest: digest.repeat(32), groups: [] },
  };
}

const used = (secrets: readonly ApiKeySecret[], mode: Parameters<typeof indexApiKeys>[1]) =>
  indexApiKeys(secrets, mode)
    .selected('app', { team: 'a' })
    .usable.map(({ id }) => id);

test('the oldest Secret keeps a key in a cluster, and the first one in files', () => {
  const young = secret('a', 'aa', '2026-02-01T00:00:00Z');
  const old = secret('b', 'aa', '2026-01-01T00:00:00Z');
  assert.deepEqual(used([young, old], cluster), ['app/b']);
  assert.deepEqual(used([secret('z', 'aa'), secret('a', 'aa')], standalone), ['app/z']);
  assert.deepEqual(used([secret('z', 'aa'), secret('a', 'aa')], cluster), ['app/a'], 'of equal age, by name');
});

test('a copy in another namespace takes nothing from the owner of a key', () => {
  const copy: ApiKeySecret = { ...secret('copy', 'aa', '2026-02-01T00:00:00Z') };
  const elsewhere = { ...copy, metadata: { ...copy.metadata, namespace: 'other' } };
  const index = indexApiKeys([elsewhere, secret('own', 'aa', '2026-01-01T00:00:00Z')], cluster);
  assert.deepEqual(
    index.selected('app', {}).usable.map(({ id }) => id),
    ['app/own'],
  );
  assert.deepEqual(index.selected('other', {}).usable, []);
  assert.equal(index.selected('other', {}).unused.length, 1);
});

test('a key that several authenticators accept occurs once, in the shard of its digest', () => {
  const { usable } = indexApiKeys([secret('a', 'ab'), secret('b', 'cd')], standalone).selected('app', {});
  const shards = apiKeyShards([
    { authenticator: 'app/p/one', keys: usable },
    { authenticator: 'app/p/two', keys: usable.slice(0, 1) },
  ]);
  assert.deepEqual(
    shards.map(({ shard, keys }) => [shard, keys.map(({ id, authenticators }) => [id, authenticators])]),
    [
      ['ab', [['app/a', ['app/p/one', 'app/p/two']]]],
      ['cd', [['app/b', ['app/p/one']]]],
    ],
  );
});
