/** Copies and leases against a real API server, through a wire that is cut. */
import assert from 'node:assert/strict';
import { connect, createServer, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLog } from '../../runtime/log.ts';
import { ApiError, type Client, newClient } from './client.ts';
import { type Credentials, findCredentials } from './credentials.ts';
import { startInformer } from './informer.ts';
import { stand } from './lease.ts';
import type { KubeObject } from './object.ts';
import { type Resource, resourcePath } from './resource.ts';
import { applyAll, prune } from './write.ts';

const log = createLog({ level: 'silent', destination: { write: () => {} } });
const namespace = 'api-test';
const namespaces: Resource = { apiVersion: 'v1', kind: 'Namespace', plural: 'namespaces', clusterWide: true };
const configMaps: Resource = { apiVersion: 'v1', kind: 'ConfigMap', plural: 'configmaps' };
const labels = { 'app.kubernetes.io/managed-by': 'tallygate' };
const never = new AbortController().signal;

let credentials: Credentials;
let client: Client;

before(async () => {
  credentials = await findCredentials(process.env);
  client = newClient(credentials);
  const { apiVersion, kind } = namespaces;
  await client.apply(namespaces, { apiVersion, kind, metadata: { name: namespace, namespace: '' } });
});
after(async () => {
  await client.call(resourcePath(namespaces, '', namespace), { method: 'DELETE' });
  client.close();
});

function configMap(name: string, value: string): KubeObject {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace, labels }, data: { value } };
}

/** Not as ours: a controller that runs on the cluster would take them away. */
function watched(name: string, value: string): KubeObject {
  return { ...configMap(name, value), metadata: { name, namespace, labels: { test: 'informer' } } };
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (const end = performance.now() + 30_000; !holds(); await sleep(20)) {
    if (performance.now() > end) throw new Error(`never: ${what}`);
  }
}

interface Wire {
  readonly client: Client;
  /** From now on nothing gets through: `silent`: without a word, as when a cable is pulled. */
  cut(silent?: boolean): void;
  mend(): void;
  close(): void;
}

async function newWire(): Promise<Wire> {
  const { server } = credentials;
  const pairs = new Set<readonly [Socket, Socket]>();
  let whole = true;
  const listener = createServer((near) => {
    if (!whole) return void near.destroy();
    const far = connect(Number(server.port || 443), server.hostname);
    const pair = [near, far] as const;
    pairs.add(pair);
    for (const [one, other] of [pair, [far, near] as const]) {
      one.on('error', () => {}).on('close', () => other.destroy());
      one.pipe(other);
    }
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const address = listener.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const wired = newClient({
    server: new URL(`https://127.0.0.1:${port}`),
    async apply(options) {
      await credentials.apply(options);
      // The certificate is the server's, not the wire's.
      options.checkServerIdentity = () => undefined;
    },
  });
  const destroy = () => {
    for (const pair of pairs) for (const socket of pair) socket.destroy();
    pairs.clear();
  };
  return {
    client: wired,
    cut(silent = false) {
      whole = false;
      if (silent) for (const pair of pairs) for (const socket of pair) socket.unpipe().pause();
      else destroy();
    },
    mend() {
      whole = true;
      destroy();
    },
    close() {
      wired.close();
      destroy();
      listener.close();
    },
  };
}

test('a copy follows the collection, and catches up after the server was out of reach', async () => {
  const wire = await newWire();
  let changes = 0;
  const informer = startInformer<string>({
    ...{
      client: wire.client,
      resource: configMaps,
      namespace,
      labelSelector: 'test=informer',
      log,
    },
    keep: (object) => (object['data'] as { readonly value: string }).value,
    changed: () => changes++,
  });
  const has = (name: string) => informer.items.get(`${namespace}/${name}`);
  try {
    await until('synced', () => informer.synced);
    await client.apply(configMaps, watched('one', '1'));
    await client.apply(configMaps, watched('two', '1'));
    await until('both', () => has('one') === '1' && has('two') === '1');
    wire.cut();
    await client.apply(configMaps, watched('one', '2'));
    await client.call(resourcePath(configMaps, namespace, 'two'), { method: 'DELETE' });
    assert.equal(has('two'), '1', 'what was seen stays while nothing can be seen');
    wire.mend();
    await until('caught up', () => has('one') === '2' && has('two') === undefined);
    assert.ok(changes >= 4);
  } finally {
    informer.close();
    wire.close();
  }
});

test('objects of others are not overwritten, and one failure stops no other', async () => {
  const foreign = { ...configMap('foreign', 'theirs'), metadata: { name: 'foreign', namespace } };
  await client.call(resourcePath(configMaps, namespace), { method: 'POST', body: foreign });
  const wanted = {
    resource: configMaps,
    objects: [configMap('foreign', 'ours'), configMap('mine', 'ours')],
    actual: new Map(),
  };
  const written = await applyAll(client, [wanted], never, log);
  assert.equal(written.writes, 1);
  assert.deepEqual(
    written.failures.map(({ key }) => key),
    [`${namespace}/foreign`],
  );
  const [theirs, mine] = await Promise.all(['foreign', 'mine'].map((name) => client.get(configMaps, namespace, name)));
  assert.deepEqual([theirs?.['data'], mine?.['data']], [{ value: 'theirs' }, { value: 'ours' }]);
});

test('only the object that was seen is removed, not one that has taken its name', async () => {
  const seen = await client.apply(configMaps, configMap('again', '1'));
  await client.call(resourcePath(configMaps, namespace, 'again'), { method: 'DELETE' });
  await client.apply(configMaps, configMap('again', '2'));
  const actual = new Map([[`${namespace}/again`, seen]]);
  const { failures } = await prune(client, [{ resource: configMaps, objects: [], actual }], never, log);
  assert.equal(failures.length, 1);
  assert.deepEqual((await client.get(configMaps, namespace, 'again'))?.['data'], { value: '2' });
});

test('what the server refuses comes with its reason', async () => {
  const wrong = { ...configMap('UPPER', 'x') };
  await assert.rejects(
    client.apply(configMaps, wrong),
    (error) => error instanceof ApiError && error.code === 422 && error.reason === 'Invalid',
  );
});

test('one leads at a time: a leader that is cut off stops before another begins, and epochs grow', async () => {
  const times = { leaseMs: 3000, renewDeadlineMs: 1500, retryMs: 200 };
  const wire = await newWire();
  const story: { who: string; what: 'begin' | 'end'; epoch: number }[] = [];
  const candidate = (who: string, own: Client) =>
    stand({
      ...{ client: own, namespace, name: 'leader', identity: who, times, log },
      lead(epoch, signal) {
        story.push({ who, what: 'begin', epoch });
        signal.addEventListener('abort', () => story.push({ who, what: 'end', epoch }));
      },
    });
  const first = candidate('first', wire.client);
  let second: ReturnType<typeof stand> | undefined;
  try {
    await until('the first leads', () => first.leading);
    second = candidate('second', client);
    await sleep(2 * times.retryMs);
    assert.equal(second.leading, false);
    wire.cut(true);
    await until('the second leads', () => second!.leading);
    assert.deepEqual(
      story.map(({ who, what }) => `${who} ${what}`),
      ['first begin', 'first end', 'second begin'],
    );
    wire.mend();
    await second.close();
    await until('the first again, at once', () => first.leading);
    const epochs = story.filter(({ what }) => what === 'begin').map(({ epoch }) => epoch);
    assert.deepEqual(
      epochs,
      epochs.toSorted((left, right) => left - right),
    );
    assert.equal(new Set(epochs).size, 3);
  } finally {
    await second?.close();
    await first.close();
    wire.close();
  }
});
