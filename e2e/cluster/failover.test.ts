/**
 * Replaces the leading replica while routes are created, changed and removed. In the end, the
 * cluster is as requested, no request of another route has failed, and the controllers' logs show
 * that no two of them wrote at the same time. Runs only by name (`make e2e-cluster-long`).
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorOf, mock, openaiClient, say } from '../data-plane/support/clients.ts';
import { waitFor } from '../data-plane/support/wait.ts';
import { install, SYSTEM } from './support/helm.ts';
import { apply, get, kubectl } from './support/kubectl.ts';
import { type FollowedLogs, followLogs } from './support/logs.ts';
import { elsewhere, freeze, kill, processOf } from './support/rig.ts';
import { settle, startWatchedTraffic, stopWatching, type WatchedTraffic } from './support/rolling.ts';
import { type ClusterWorld, routeOf, startClusterWorld } from './support/world.ts';

const NAMESPACE = 'tge-failover';
const MODEL = 'gpt-4o-mini';
const LEADER_MS = 40_000;
const CHANGE_EVERY_MS = 400;
const NAMES = 8;
/** Longer than the lease of a replica that cannot release it. */
const FROZEN_SECONDS = 25;

let world: ClusterWorld;
let watched: WatchedTraffic;
let logs: FollowedLogs;
/** The model of each route, by the route's name. */
const wanted = new Map<string, string>();
const gone = new Set<string>();
const stop = new AbortController();
let changing: Promise<void> | undefined;
let changes = 0;

before(async () => {
  await install({ values: ['controller.logLevel=debug'] });
  world = await startClusterWorld(NAMESPACE);
  watched = startWatchedTraffic(world, MODEL);
  logs = followLogs('app.kubernetes.io/name=tallygate,app.kubernetes.io/component=controller', 'controller', (text) =>
    /"msg":"(writing|became leader)"/.test(text),
  );
  changing = change();
});
after(async () => {
  stop.abort();
  await changing;
  await stopWatching(watched);
  await logs?.close();
  await world?.stop();
});

/** Creates, changes or removes one route at a time, until stopped. */
async function change(): Promise<void> {
  while (!stop.signal.aborted) {
    const name = `r${changes % NAMES}`;
    const before = wanted.get(name);
    if (before !== undefined && changes % 3 === 0) {
      await kubectl('-n', NAMESPACE, 'delete', 'aigatewayroute', name, '--wait=false');
      wanted.delete(name);
    } else {
      const model = `model-${changes}`;
      const rules = [{ name: 'only', models: [model], backendRefs: [{ name: 'openai', model: MODEL }] }];
      await apply([routeOf(NAMESPACE, name, rules)]);
      wanted.set(name, model);
    }
    if (before !== undefined) {
      gone.add(before);
    }
    changes++;
    await sleep(CHANGE_EVERY_MS, undefined, { signal: stop.signal }).catch(() => {});
  }
}

interface Leader {
  readonly identity: string;
  readonly pod: string;
}

async function leader(): Promise<Leader | undefined> {
  const { spec } = await get('-n', SYSTEM, 'lease', 'tallygate-controller');
  const identity: string = spec.holderIdentity ?? '';
  return identity === '' ? undefined : { identity, pod: identity.split('_')[0] ?? '' };
}

async function containerOf({ pod }: Leader): Promise<string> {
  return (await get('-n', SYSTEM, 'pod', pod)).status.containerStatuses[0].containerID;
}

/** Waits until another replica leads and applies changes. */
async function takesOver(what: string, act: (leader: Leader) => Promise<unknown>): Promise<void> {
  const old = await waitFor('leader', leader, LEADER_MS);
  const startedAtMs = performance.now();
  await act(old);
  await waitFor(
    'another leader',
    async () => {
      const now = await leader();
      return now !== undefined && now.identity !== old.identity;
    },
    LEADER_MS,
  );
  console.log(`${what}: another leads after ${((performance.now() - startedAtMs) / 1000).toFixed(1)} s`);
  const seen = changes;
  await waitFor('more changes', () => changes >= seen + 5, LEADER_MS);
}

describe('another replica takes over', () => {
  for (const turn of ['first', 'second']) {
    it(`from a replica that is deleted, ${turn} time`, () =>
      takesOver('told to end', ({ pod }) => kubectl('-n', SYSTEM, 'delete', 'pod', pod, '--wait=false')));
    it(`from a replica that is killed, ${turn} time`, { skip: elsewhere }, () =>
      takesOver('killed', async (old) => kill(await processOf(await containerOf(old)))),
    );
  }

  it('from a replica that is frozen and resumes', { skip: elsewhere }, async () => {
    let frozen: Promise<void> | undefined;
    await takesOver('frozen', async (old) => {
      frozen = freeze(await processOf(await containerOf(old)), FROZEN_SECONDS);
    });
    await frozen;
    const seen = changes;
    await waitFor('more changes', () => changes >= seen + 10, LEADER_MS);
  });
});

it('the cluster has the requested routes', async () => {
  stop.abort();
  await changing;
  console.log(`${changes} changes; ${wanted.size} routes are left`);
  await waitFor('statuses of the last generation', current, LEADER_MS);
  const ask = (model: string) => {
    const request = { model, messages: say('Hello'), max_completion_tokens: 9 };
    return openaiClient(world.url).chat.completions.create(request, mock({ tokens: 3 }));
  };
  for (const model of wanted.values()) {
    assert.equal((await ask(model)).usage?.completion_tokens, 3);
  }
  for (const model of gone) {
    assert.match(String(await errorOf(ask(model))), /404/, model);
  }
  const { items } = await get('httproutes', '-n', NAMESPACE, '-l', 'app.kubernetes.io/managed-by=tallygate');
  const routes = items.map(({ metadata }: { metadata: Named }) => metadata.labels['tallygate.dev/route']);
  assert.deepEqual([...new Set(routes)].toSorted(), ['chat', 'entry', ...wanted.keys()].toSorted());
});

interface Named {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/**
 * Returns whether exactly the wanted routes exist, and each is enforced in its last generation.
 */
async function current(): Promise<boolean> {
  const { items } = await get('aigatewayroutes', '-n', NAMESPACE);
  const names = items.map(({ metadata }: { metadata: Named }) => metadata.name);
  if (names.toSorted().join() !== ['chat', ...wanted.keys()].toSorted().join()) {
    return false;
  }
  return items.every(({ metadata, status }: { metadata: { generation: number }; status?: RouteStatus }) => {
    const enforcing = status?.parents?.[0]?.conditions.find(({ type }) => type === 'Enforcing');
    return enforcing?.status === 'True' && enforcing.observedGeneration === metadata.generation;
  });
}

interface RouteStatus {
  readonly parents?: readonly {
    readonly conditions: readonly {
      readonly type: string;
      readonly status: string;
      readonly observedGeneration: number;
    }[];
  }[];
}

it('every request of other routes succeeded and was counted', () => settle(world, watched));

interface Term {
  readonly epoch: number;
  readonly container: string;
  readonly writes: string[];
}

it('no two replicas wrote at the same time', async () => {
  const terms = new Map<string, Term>();
  const all: Term[] = [];
  for (const { container, text } of logs.lines) {
    const { msg, time, epoch, method, path } = JSON.parse(text);
    if (msg === 'became leader') {
      const term: Term = { epoch, container, writes: [] };
      terms.set(container, term);
      all.push(term);
    } else if (!/\/(leases|tokenreviews|events)\b/.test(path)) {
      const term = terms.get(container);
      assert.ok(term, `${container} wrote before it led: ${method} ${path}`);
      term.writes.push(time);
    }
  }
  const inOrder = all.filter(({ writes }) => writes.length > 0).toSorted((a, b) => a.epoch - b.epoch);
  for (const [index, { epoch, container, writes }] of inOrder.entries()) {
    console.log(`${container.slice(-8)} epoch ${epoch}: ${writes.length} writes from ${writes[0]} to ${writes.at(-1)}`);
    const next = inOrder[index + 1];
    const [last, first] = [writes.at(-1) ?? '', next?.writes[0] ?? '9'];
    assert.ok(last < first, `epoch ${epoch} wrote at ${last}, epoch ${next?.epoch} already at ${first}`);
  }
  assert.ok(inOrder.length >= (elsewhere ? 3 : 6), `${inOrder.length} terms`);
});
