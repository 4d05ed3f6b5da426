import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { KubeClient } from './client.ts';
import { LeaderElection } from './lease.ts';
import { resourcePath } from './resource.ts';
import { configMap, configMaps, newPlace, openWay, type Place, silent, until, type Way } from './testing/cluster.ts';

const times = { leaseMs: 3_000, renewDeadlineMs: 2_000, retryMs: 300 };
const leases = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', plural: 'leases' };

interface Term {
  readonly who: string;
  readonly epoch: number;
  readonly fromMs: number;
  readonly signal: AbortSignal;
  untilMs: number;
}

let place: Place;
let ways: Way[];
let elections: LeaderElection[];
let terms: Term[];
let count = 0;

before(async () => {
  place = await newPlace('lease');
});
after(() => place.remove());
beforeEach(() => {
  ways = [];
  elections = [];
  terms = [];
  count++;
});
afterEach(async () => {
  await Promise.all(elections.map((each) => each.close()));
  for (const way of ways) {
    way.close();
  }
});

async function candidate(who: string): Promise<{ readonly election: LeaderElection; readonly way: Way }> {
  const way = await openWay(place.credentials);
  const election = new LeaderElection({
    client: new KubeClient(way.credentials),
    namespace: place.namespace,
    name: `lease-${count}`,
    identity: who,
    times,
    log: silent,
    lead(epoch, signal) {
      const term: Term = { who, epoch, signal, fromMs: performance.now(), untilMs: Number.POSITIVE_INFINITY };
      terms.push(term);
      signal.addEventListener('abort', () => {
        term.untilMs = performance.now();
      });
    },
  });
  ways.push(way);
  elections.push(election);
  return { election, way };
}

/** One after the other, never two at once, each with a higher number. */
function inOrder(): void {
  for (const [index, term] of terms.entries()) {
    const next = terms[index + 1];
    if (next === undefined) {
      continue;
    }
    assert.ok(term.untilMs <= next.fromMs, `${term.who} had not ended when ${next.who} began`);
    assert.ok(next.epoch > term.epoch, `${next.epoch} follows ${term.epoch}`);
  }
}

test('one of several replicas that start together leads', async () => {
  await Promise.all(['a', 'b', 'c'].map(candidate));
  await until('one leads', () => terms.length > 0);
  await sleep(2 * times.leaseMs);
  assert.equal(terms.length, 1);
  assert.equal(terms[0]?.signal.aborted, false);
});

for (const how of ['cut', 'freeze'] as const) {
  test(`a leader that cannot reach the server (${how}) stops before the next one starts`, async () => {
    const first = await candidate('a');
    await until('a leads', () => first.election.leading);
    const second = await candidate('b');
    await sleep(1_000);
    first.way[how]();
    await until('b leads', () => second.election.leading);
    inOrder();
    first.way.restore();
    await sleep(1_000);
    assert.deepEqual(
      terms.map(({ who }) => who),
      ['a', 'b'],
    );
  });
}

test('a leader that shuts down hands over at once', async () => {
  const first = await candidate('a');
  await until('a leads', () => first.election.leading);
  const second = await candidate('b');
  await sleep(500);
  const startedMs = performance.now();
  await first.election.close();
  await until('b leads', () => second.election.leading);
  assert.ok(performance.now() - startedMs < times.leaseMs / 2);
  inOrder();
});

test('a removed Lease makes no second leader, and epochs keep growing', async () => {
  const first = await candidate('a');
  await until('a leads', () => first.election.leading);
  const { epoch } = terms[0]!;
  const second = await candidate('b');
  await sleep(500);
  await place.client.call(resourcePath(leases, place.namespace, `lease-${count}`), { method: 'DELETE' });
  await sleep(2 * times.leaseMs);
  assert.equal(Number(first.election.leading) + Number(second.election.leading), 1);
  inOrder();
  // The next epoch is higher for any replica, because sidecars refuse older ones.
  const leader = first.election.leading ? first : second;
  const other = leader === first ? second : first;
  await leader.election.close();
  await until('the other leads', () => other.election.leading);
  inOrder();
  assert.ok((terms.at(-1)?.epoch ?? 0) > epoch);
});

test('a leader that was suspended writes nothing when it resumes', async () => {
  let election: LeaderElection | undefined;
  const client = new KubeClient(place.credentials, { beforeWrite: () => election?.assertLeading() });
  let term: AbortSignal | undefined;
  election = new LeaderElection({
    client,
    namespace: place.namespace,
    name: `lease-${count}`,
    identity: 'a',
    times,
    log: silent,
    lead(_epoch, signal) {
      term ??= signal;
    },
  });
  elections.push(election);
  await until('it leads', () => term !== undefined);
  const written = configMap(place.namespace, 'late', {});
  // Suspended between the answer and the write: no timer fires before the write.
  const work = place.client.get(configMaps, place.namespace, 'late').then(() => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, times.leaseMs + 500);
    return client.apply(configMaps, written, { signal: term });
  });
  await assert.rejects(work);
  assert.equal(await client.get(configMaps, place.namespace, 'late'), undefined);
});

test('a leader that slept has lost the lease, even if its monotonic clock stopped', async (t) => {
  const { election } = await candidate('sleeper');
  await until('it leads', () => election.leading);
  const { now } = Date;
  const mocked = t.mock.method(Date, 'now', () => now() + times.renewDeadlineMs + 1000);
  assert.equal(election.leading, false);
  mocked.mock.restore();
  await until('it leads again', () => election.leading);
  inOrder();
});

test('a leader that learns of a higher epoch raises its own in the same term', async () => {
  const { election } = await candidate('behind');
  await until('it leads', () => election.leading);
  const ahead = Date.now() + 365 * 86_400_000;
  election.raise(Number.MAX_SAFE_INTEGER);
  election.raise(ahead);
  await until('it has a higher epoch', () => (terms.at(-1)?.epoch ?? 0) > ahead);
  assert.equal(terms.at(-1)?.epoch, ahead + 1);
  assert.equal(terms.at(-1)?.signal, terms[0]?.signal);
  assert.equal(terms[0]?.signal.aborted, false);
  await election.close();
  const next = await candidate('next');
  await until('the next one leads', () => next.election.leading);
  assert.ok(terms.at(-1)!.epoch > ahead + 1);
});

test('a replica raises its epoch only while it leads', async () => {
  const { election } = await candidate('leader');
  await until('it leads', () => election.leading);
  const { epoch } = terms[0]!;
  const follower = await candidate('follower');
  follower.election.raise(epoch + 1_000_000_000);
  await sleep(3 * times.retryMs);
  assert.equal(terms.length, 1);
  await election.close();
  await until('the follower leads', () => follower.election.leading);
  assert.equal(terms.at(-1)?.epoch, epoch + 1_000_000_001);
});
