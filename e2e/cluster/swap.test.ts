/**
 * Replaces the backend of a route back and forth under traffic. Runs only by name (`make
 * e2e-cluster-long`).
 */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { waitFor } from '../data-plane/support/wait.ts';
import { install } from './support/helm.ts';
import { apply } from './support/kubectl.ts';
import { shown, startTraffic, type Traffic } from './support/traffic.ts';
import {
  backendOf,
  type ClusterWorld,
  keyOf,
  routeOf,
  startClusterWorld,
  waitUntilEnforcing,
} from './support/world.ts';

const NAMESPACE = 'tge-swap';
const MODEL = 'swapped';
const SWAPS = 20;
const backends = ['one', 'other'];

let world: ClusterWorld;
let traffic: Traffic | undefined;
before(async () => {
  await install();
  world = await startClusterWorld(NAMESPACE);
  await apply(backends.flatMap((name) => backendOf(NAMESPACE, name, 'OpenAI', world.provider.name, [{ name: MODEL }])));
  await apply([route('one')]);
  await waitUntilEnforcing(NAMESPACE, 'swap');
});
after(async () => {
  await traffic?.stop();
  await world?.stop();
});

function route(backend: string) {
  return routeOf(NAMESPACE, 'swap', [{ name: 'only', models: [MODEL], backendRefs: [{ name: backend }] }]);
}

async function reaches(backend: string): Promise<boolean> {
  const seen = await world.provider.seen();
  return seen.at(-1)?.headers['authorization'] === `Bearer ${keyOf(backend)}`;
}

it(`${SWAPS} replacements of a backend fail no request`, async () => {
  traffic = startTraffic({ url: world.url, model: MODEL, requestsASecond: 60 });
  await waitFor('answers', () => traffic!.answered > 50);
  const tookMs: number[] = [];
  for (let swap = 1; swap <= SWAPS; swap++) {
    const backend = backends[swap % 2]!;
    await world.provider.forget();
    traffic.during(`swap ${swap}`);
    const startedAtMs = performance.now();
    await apply([route(backend)]);
    const appliedMs = performance.now() - startedAtMs;
    await waitFor(`request to ${backend}`, () => reaches(backend), 10_000);
    tookMs.push(performance.now() - startedAtMs - appliedMs);
  }
  await traffic.stop();
  console.log(
    `from the apply to the first request there, ms: ${tookMs
      .map(Math.round)
      .toSorted((a, b) => a - b)
      .join(' ')}`,
  );
  assert.equal(traffic.failures.length, 0, shown(traffic));
  console.log(`${traffic.answered} requests`);
});
