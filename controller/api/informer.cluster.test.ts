import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError, KubeClient } from './client.ts';
import { type Informer, startInformer } from './informer.ts';
import type { KubeObject } from './object.ts';
import { type Resource, resourcePath } from './resource.ts';
import {
  configMap,
  configMaps,
  newPlace,
  openWay,
  type Place,
  silent,
  typeOf,
  until,
  type Way,
} from './testing/cluster.ts';

const labels = { 'kube-test': 'yes' };
let place: Place;
let way: Way;
let client: KubeClient;
let informers: Informer<unknown>[] = [];

before(async () => {
  place = await newPlace('informer');
});
after(() => place.remove());
beforeEach(async () => {
  way = await openWay(place.credentials);
  client = new KubeClient(way.credentials);
});
afterEach(() => {
  for (const informer of informers) {
    informer.close();
  }
  informers = [];
  client.close();
  way.close();
});

function follow(resource: Resource = configMaps): Informer<string> {
  const informer = startInformer({
    client,
    resource,
    namespace: place.namespace,
    log: silent,
    changed: () => {},
    ...(resource === configMaps && { labelSelector: 'kube-test=yes' }),
    keep: ({ data }: KubeObject) => (data as { value?: string } | undefined)?.value ?? '',
  });
  informers.push(informer);
  return informer;
}

async function put(name: string, value: string): Promise<void> {
  await place.client.apply(configMaps, configMap(place.namespace, name, { value }, labels));
}

async function remove(name: string): Promise<void> {
  await place.client.call(resourcePath(configMaps, place.namespace, name), { method: 'DELETE' });
}

const key = (name: string) => `${place.namespace}/${name}`;

test('the copy survives an outage, and changes during the outage are seen afterwards', async () => {
  await Promise.all([put('stays', '1'), put('changes', '1'), put('goes', '1')]);
  const { items } = await synced(follow());
  way.cut();
  await Promise.all([put('changes', '2'), remove('goes'), put('comes', '1')]);
  await sleep(3_000);
  assert.deepEqual([...items().keys()].sort(), ['changes', 'goes', 'stays'].map(key));
  way.restore();
  await until('all is seen', () => [...items().keys()].sort().join() === ['changes', 'comes', 'stays'].map(key).join());
  assert.equal(items().get(key('changes')), '2');
});

test('many short outages lose no change', async () => {
  const { items } = await synced(follow());
  for (let round = 1; round <= 10; round++) {
    await put('often', String(round));
    way.cut();
    await put('while-away', String(round));
    way.restore();
  }
  await until('the last is seen', () => items().get(key('often')) === '10' && items().get(key('while-away')) === '10');
});

/** Until its cache of a kind is ready, the server reads the history, which may be whole. */
async function isExpired(resource: Resource, version: string): Promise<boolean> {
  const path = `${resourcePath(resource, place.namespace)}?watch=1&timeoutSeconds=1&resourceVersion=${version}`;
  try {
    const event = (await place.client.call(path)) as { readonly type?: string } | undefined;
    return event?.type === 'ERROR';
  } catch (error) {
    return error instanceof ApiError && error.code === 410;
  }
}

test('an expired resource version starts a new list', async () => {
  // A recent kind: for older ones, the server may still have the whole history.
  const routes: Resource = { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', plural: 'httproutes' };
  const { namespace } = place;
  const made = (name: string) =>
    place.client.apply(routes, { ...typeOf(routes), metadata: { name, namespace }, spec: {} });
  const before = await made('before');
  await until('the server refuses the version', () => isExpired(routes, '1'));
  const { items } = await synced(follow(routes));
  way.cut();
  await Promise.all([place.client.remove(routes, before), made('after')]);
  let asked = 0;
  way.meddle((path) => {
    if (!path.includes('watch=1') || ++asked > 1) {
      return undefined;
    }
    return { path: path.replace(/resourceVersion=\d+/, 'resourceVersion=1') };
  });
  way.restore();
  await until('both are seen', () => items().has(key('after')) && !items().has(key('before')));
  assert.equal(asked, 2);
});

test('an interrupted list of several pages is read again from the start', async () => {
  const names = Array.from({ length: 520 }, (_, index) => `many-${index}`);
  const queue = names.values();
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (const name of queue) {
        await put(name, 'x');
      }
    }),
  );
  let pages = 0;
  way.meddle((path) => (path.includes('continue=') && ++pages <= 2 ? { cutAfterBytes: 1 } : undefined));
  const { items } = await synced(follow());
  assert.ok(pages > 2);
  assert.equal(names.filter((name) => items().has(key(name))).length, names.length);
});

test('a watch that is cut within an event continues with the next one', async () => {
  const { items } = await synced(follow());
  way.meddle((path) => (path.includes('watch=1') ? { cutAfterBytes: 100 } : undefined));
  way.cut();
  way.restore();
  for (let round = 1; round <= 5; round++) {
    await put('torn', String(round));
  }
  way.meddle(() => undefined);
  await until('the last is seen', () => items().get(key('torn')) === '5');
});

test('a kind is followed as soon as it exists', async () => {
  const resource: Resource = { apiVersion: `${place.namespace}.example/v1`, kind: 'Thing', plural: 'things' };
  const crds: Resource = {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    clusterWide: true,
    plural: 'customresourcedefinitions',
  };
  const group = `${place.namespace}.example`;
  const informer = follow(resource);
  await sleep(1_000);
  assert.equal(informer.synced, false);
  const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } };
  const versions = [{ name: 'v1', served: true, storage: true, schema }];
  const names = { plural: 'things', kind: 'Thing' };
  await place.client.apply(crds, {
    ...typeOf(crds),
    metadata: { name: `things.${group}`, namespace: '' },
    spec: { group, scope: 'Namespaced', names, versions },
  });
  try {
    await until('the kind is followed', () => informer.synced);
    const { namespace } = place;
    await until('one is made', () =>
      place.client.apply(resource, { ...typeOf(resource), metadata: { name: 'one', namespace } }).then(
        () => true,
        () => false,
      ),
    );
    await until('it is seen', () => informer.items.has(key('one')));
  } finally {
    await place.client.call(resourcePath(crds, '', `things.${group}`), { method: 'DELETE' });
  }
});

async function synced(informer: Informer<string>): Promise<{ items(): ReadonlyMap<string, string> }> {
  await until('the collection is seen', () => informer.synced);
  return { items: () => informer.items };
}

test('a kind that the server does not have is absent, not unread', async () => {
  const informer = follow({ apiVersion: 'tallygate.dev/v1', kind: 'Nothing', plural: 'nothings' });
  await until('absent', () => informer.absent);
  assert.equal(informer.synced, false);
  assert.equal(follow().absent, false);
});
