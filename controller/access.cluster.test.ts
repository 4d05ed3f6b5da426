/** API keys and keys of issuers, as the controller takes them from a real API server. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { apiKeyHash } from '../contract/api-key.ts';
import type { ApiKeySecret } from '../translate/world.ts';
import type { KubeObject } from './api/object.ts';
import { newPlace, type Place, silent, typeOf, until } from './api/testing/cluster.ts';
import { ClusterIssuerKeys } from './issuer-keys.ts';
import { secrets } from './resources.ts';
import { type ClusterSources, openSources } from './sources.ts';

const KEY = 'tg-search-batch-0000000000000000';

let place: Place;
let sources: ClusterSources;
let changes = 0;

before(async () => {
  place = await newPlace('access');
  const { client, namespace } = place;
  sources = openSources({
    client,
    namespaces: [namespace],
    proxyNamespaces: [],
    changed: (what) => {
      changes += what === 'world' ? 1 : 0;
    },
    log: silent,
  });
});

after(async () => {
  sources?.close();
  await place?.remove();
});

function keySecret(name: string, labels: Readonly<Record<string, string>>): KubeObject {
  return {
    ...typeOf(secrets),
    metadata: {
      namespace: place.namespace,
      name,
      labels,
      annotations: {
        'tallygate.dev/tenant': 'search',
        'tallygate.dev/groups': 'engineering,batch',
        // As kubectl writes it, with the key in plain text.
        'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify({ stringData: { apiKey: KEY } }),
      },
    },
    stringData: { apiKey: KEY },
  };
}

const world = () => sources.world({ jwks: new Map(), tokens: new Map() });
const named = (name: string): ApiKeySecret | undefined =>
  world().apiKeySecrets.find(({ metadata }) => metadata.name === name);

test('a Secret with the label becomes a digest and its owner, and nothing else of it is kept', async () => {
  const { client } = place;
  await client.apply(secrets, keySecret('batch', { 'tallygate.dev/api-key': 'true' }));
  await client.apply(secrets, keySecret('unlabelled', {}));
  await client.apply(secrets, keySecret('other', { 'tallygate.dev/api-key': 'false' }));
  await until('the key', () => named('batch') !== undefined);
  assert.deepEqual(named('batch')?.key, {
    digest: apiKeyHash(KEY).slice('sha256:'.length),
    tenant: 'search',
    groups: ['engineering', 'batch'],
  });
  assert.equal(world().apiKeySecrets.length, 1);
  const text = JSON.stringify(world());
  for (const secret of [KEY, Buffer.from(KEY).toString('base64')]) {
    assert.equal(text.includes(secret), false);
  }
});

test('a key is gone soon after its Secret, or its label', async (t) => {
  const { client, namespace } = place;
  await until('the key', () => named('batch') !== undefined);
  const before = changes;
  const found = await client.get(secrets, namespace, 'batch');
  const startedMs = performance.now();
  await client.remove(secrets, found!);
  await until('no key', () => named('batch') === undefined);
  t.diagnostic(`gone after ${(performance.now() - startedMs).toFixed(0)} ms`);
  assert.ok(changes > before, 'the world has changed');
  await client.apply(secrets, keySecret('again', { 'tallygate.dev/api-key': 'true' }));
  await until('the key', () => named('again') !== undefined);
  await client.apply(secrets, keySecret('again', {}));
  await until('no key', () => named('again') === undefined);
});

test('a new leader has the keys of an issuer that is away, and a former leader asks it no more', async () => {
  const jwk = { ...generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }), kid: 'one' };
  let requests = 0;
  const server = createServer((_, response) => {
    requests++;
    response.writeHead(200, { 'cache-control': 'no-store' }).end(JSON.stringify({ keys: [jwk] }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const source = { type: 'URI', url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks` } as const;
  const newReplica = () =>
    new ClusterIssuerKeys({
      client: place.client,
      namespace: place.namespace,
      guard: { allowsPlainHttp: () => true, refusal: () => undefined, linkRefusal: () => undefined },
      changed: () => {},
      log: silent,
    });
  const [first, second] = [newReplica(), newReplica()];
  const term = new AbortController();
  try {
    await first.restore(term.signal);
    first.want([source]);
    await until('fetched', () => first.results().has(source.url));
    assert.deepEqual(first.results().get(source.url)?.keys, [jwk]);
    await first.save(term.signal);
    term.abort();
    first.refetch(source.url);
    assert.deepEqual(first.counts(), { sources: 0, failing: 0 });

    server.close();
    server.closeAllConnections();
    const before = requests;
    const next = new AbortController();
    await second.restore(next.signal);
    assert.deepEqual(second.results().get(source.url)?.keys, [jwk]);
    second.want([source]);
    await until('failed', () => second.counts().failing === 1);
    assert.deepEqual(second.results().get(source.url)?.keys, [jwk], 'the last keys stay');
    assert.equal(requests, before);
  } finally {
    first.close();
    second.close();
    server.close();
  }
});
