import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { MANAGED_LABEL, MANAGED_SELECTOR } from './difference.ts';
import type { KubeObject } from './object.ts';
import { type Resource, resourcePath } from './resource.ts';
import { configMap, configMaps, newPlace, type Place, silent, typeOf } from './testing/cluster.ts';
import { applyAll, prune, type WriteResult } from './write.ts';

const routes: Resource = { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', plural: 'httproutes' };
const secrets: Resource = { apiVersion: 'v1', kind: 'Secret', plural: 'secrets' };
const labels = { [MANAGED_LABEL]: 'tallygate' };
const { signal } = new AbortController();
let place: Place;
let name: string;
let count = 0;

before(async () => {
  place = await newPlace('write');
});
after(() => place.remove());
beforeEach(() => {
  name = `test-${++count}`;
});

function route(spec: object): KubeObject {
  return { ...typeOf(routes), metadata: { name, namespace: place.namespace, labels }, spec };
}

async function actual(resource: Resource): Promise<ReadonlyMap<string, KubeObject>> {
  const path = `${resourcePath(resource, place.namespace)}?${new URLSearchParams({ labelSelector: MANAGED_SELECTOR })}`;
  const { items } = (await place.client.call(path)) as { readonly items: readonly KubeObject[] };
  return new Map(
    items
      .filter(({ metadata }) => metadata.name === name)
      .map((item) => [`${place.namespace}/${name}`, { ...typeOf(resource), ...item }]),
  );
}

async function bring(resource: Resource, ...objects: readonly KubeObject[]): Promise<WriteResult> {
  return applyAll(place.client, [{ resource, objects, actual: await actual(resource) }], signal, silent);
}

/** Somebody else writes. */
async function edit(resource: Resource, body: object, type = 'merge-patch+json', manager = 'kubectl-edit') {
  const path = `${resourcePath(resource, place.namespace, name)}?fieldManager=${manager}`;
  return place.client.call(path, { method: 'PATCH', body, contentType: `application/${type}` });
}

async function read(resource: Resource): Promise<KubeObject> {
  const object = await place.client.get(resource, place.namespace, name);
  assert.ok(object);
  return object;
}

/** One run more, at most, and then nothing is left to write. */
async function settles(resource: Resource, wanted: KubeObject): Promise<void> {
  const first = await bring(resource, wanted);
  assert.deepEqual(first.failures, []);
  const second = await bring(resource, wanted);
  assert.deepEqual(second, { writes: 0, failures: [] });
}

const wide = { hostnames: ['a.example.com'], rules: [{ name: 'one' }] };
const narrow = { rules: [{ name: 'one' }] };

test('an object in its desired state is not written again', async () => {
  assert.equal((await bring(routes, route(wide))).writes, 1);
  assert.equal((await bring(routes, route(wide))).writes, 0);
});

test('a field that is no longer wanted is removed', async () => {
  await bring(routes, route(wide));
  await settles(routes, route(narrow));
  assert.equal('hostnames' in ((await read(routes))['spec'] as object), false);
});

test('manual changes and additions are undone', async () => {
  await bring(routes, route(narrow));
  await edit(routes, { spec: { hostnames: ['by.hand.example.com'], rules: [{ name: 'mine' }] } });
  await settles(routes, route(narrow));
  const spec = (await read(routes))['spec'] as { hostnames?: unknown; rules: { name: string }[] };
  assert.equal(spec.hostnames, undefined);
  assert.deepEqual(
    spec.rules.map((rule) => rule.name),
    ['one'],
  );
});

test('a field that was once changed by hand can still be removed', async () => {
  await bring(routes, route(wide));
  await edit(routes, { spec: { hostnames: ['by.hand.example.com'] } });
  await settles(routes, route(wide));
  await settles(routes, route(narrow));
  assert.equal('hostnames' in ((await read(routes))['spec'] as object), false);
});

test('another manager with the same values does not cause repeated writes', async () => {
  await bring(routes, route(wide));
  await edit(
    routes,
    { ...typeOf(routes), metadata: { name }, spec: { hostnames: ['a.example.com'] } },
    'apply-patch+yaml',
    'argo',
  );
  await settles(routes, route(wide));
  await settles(routes, route(narrow));
  assert.equal('hostnames' in ((await read(routes))['spec'] as object), false);
});

test('a label that was removed by hand is restored', async () => {
  await bring(routes, route(wide));
  await edit(routes, { metadata: { labels: { [MANAGED_LABEL]: null } } });
  await settles(routes, route(wide));
  assert.equal((await read(routes)).metadata.labels?.[MANAGED_LABEL], 'tallygate');
});

test('labels, annotations and finalizers of others stay', async () => {
  await bring(routes, route(narrow));
  await edit(routes, {
    metadata: { labels: { team: 'a' }, annotations: { note: 'b' }, finalizers: ['example.com/last'] },
    spec: { hostnames: ['by.hand.example.com'] },
  });
  await settles(routes, route(narrow));
  const { metadata } = await read(routes);
  await edit(routes, { metadata: { finalizers: null } });
  assert.equal(metadata.labels?.['team'], 'a');
  assert.equal(metadata.annotations?.['note'], 'b');
  assert.deepEqual((metadata as { finalizers?: unknown }).finalizers, ['example.com/last']);
});

test('a foreign object under the same name is not changed and does not block others', async () => {
  const theirs = configMap(place.namespace, name, { value: 'theirs' });
  await place.client.call(resourcePath(configMaps, place.namespace), { method: 'POST', body: theirs });
  const beside = configMap(place.namespace, `${name}-beside`, { value: 'ours' }, labels);
  const ours = configMap(place.namespace, name, { value: 'ours' }, labels);
  const { writes, failures } = await bring(configMaps, ours, beside);
  assert.equal(writes, 1);
  assert.deepEqual(
    failures.map(({ key }) => key),
    [`${place.namespace}/${name}`],
  );
  assert.deepEqual((await read(configMaps))['data'], { value: 'theirs' });
});

test('a foreign object with our label is neither overwritten nor removed', async () => {
  const theirs = configMap(place.namespace, name, { value: 'theirs' }, labels);
  await place.client.call(`${resourcePath(configMaps, place.namespace)}?fieldManager=kubectl-create`, {
    method: 'POST',
    body: theirs,
  });
  const { failures } = await bring(configMaps, configMap(place.namespace, name, { value: 'ours' }, labels));
  assert.match(failures[0]?.message ?? '', /exists and was not created by Tallygate/);
  const seen = await actual(configMaps);
  assert.equal(seen.size, 1);
  const pruned = await prune(place.client, [{ resource: configMaps, objects: [], actual: seen }], signal, silent);
  assert.deepEqual(pruned, { writes: 0, failures: [] });
  assert.deepEqual((await read(configMaps))['data'], { value: 'theirs' });
});

test('a refused object does not block others', async () => {
  const beside = route(wide);
  const bad = { ...route({ hostnames: ['not a name'] }), metadata: { ...beside.metadata, name: `${name}-bad` } };
  const { writes, failures } = await bring(routes, bad, beside);
  assert.deepEqual([writes, failures.length], [1, 1]);
});

test('changed, added and removed values of Secrets are corrected, without a digest', async () => {
  const metadata = { name, namespace: place.namespace, labels };
  const wanted = { ...typeOf(secrets), metadata, type: 'Opaque', data: { credential: 'YQ==' } };
  await bring(secrets, wanted);
  await edit(secrets, { data: { credential: 'Yg==', more: 'Yw==' } });
  await settles(secrets, wanted);
  await edit(secrets, { data: { credential: null } });
  await settles(secrets, wanted);
  const secret = await read(secrets);
  assert.deepEqual(secret['data'], { credential: 'YQ==' });
  assert.equal(secret.metadata.annotations, undefined);
});

test('removal spares an object that changed or was replaced in the meantime', async () => {
  const object = configMap(place.namespace, name, { value: '1' }, labels);
  await bring(configMaps, object);
  const seen = await actual(configMaps);
  await edit(configMaps, { data: { value: '2' } });
  const changed = await prune(place.client, [{ resource: configMaps, objects: [], actual: seen }], signal, silent);
  assert.equal(changed.failures.length, 1);
  await place.client.call(resourcePath(configMaps, place.namespace, name), { method: 'DELETE' });
  const gone = await prune(place.client, [{ resource: configMaps, objects: [], actual: seen }], signal, silent);
  assert.deepEqual(gone.failures, []);
  await bring(configMaps, object);
  const now = await actual(configMaps);
  const done = await prune(place.client, [{ resource: configMaps, objects: [], actual: now }], signal, silent);
  assert.deepEqual([done.writes, done.failures.length], [1, 0]);
  assert.equal(await place.client.get(configMaps, place.namespace, name), undefined);
});

test('a replica that has lost leadership writes nothing', async () => {
  const over = AbortSignal.abort();
  const wanted = [{ resource: routes, objects: [route(wide)], actual: new Map() }];
  assert.equal((await applyAll(place.client, wanted, over, silent)).writes, 0);
  assert.equal(await place.client.get(routes, place.namespace, name), undefined);
});
