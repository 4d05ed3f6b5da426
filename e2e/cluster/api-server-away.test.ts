/**
 * Stops the API server for a minute: traffic continues, and afterwards changes take effect again.
 * Runs only by name (`make e2e-cluster-long`).
 */
import { after, before, it } from 'node:test';
import { mock, openaiClient, say } from '../data-plane/support/clients.ts';
import { waitFor } from '../data-plane/support/wait.ts';
import { install } from './support/helm.ts';
import { apply } from './support/kubectl.ts';
import { apiServerProcess, elsewhere, freeze } from './support/rig.ts';
import { settle, startWatchedTraffic, stopWatching, type WatchedTraffic } from './support/rolling.ts';
import { type ClusterWorld, routeOf, startClusterWorld, waitUntilEnforcing } from './support/world.ts';

const NAMESPACE = 'tge-away';
const MODEL = 'gpt-4o-mini';
const AWAY_SECONDS = 60;
const HEALED_MS = 30_000;

let world: ClusterWorld;
let watched: WatchedTraffic;
before(async () => {
  if (elsewhere) {
    return;
  }
  await install();
  world = await startClusterWorld(NAMESPACE);
});
after(async () => {
  await stopWatching(watched);
  await world?.stop();
});

it('traffic continues without the API server, and later changes take effect', {
  skip: elsewhere,
}, async () => {
  watched = startWatchedTraffic(world, MODEL);
  const { traffic } = watched;
  await traffic.stream(AWAY_SECONDS + 10);
  traffic.during('while the API server is away');
  const away = freeze(apiServerProcess(), AWAY_SECONDS);
  await traffic.stream(AWAY_SECONDS - 20);
  await away;
  traffic.during('after the API server was away');
  const backMs = performance.now();
  const seconds = () => ((performance.now() - backMs) / 1000).toFixed(1);
  const rules = [{ name: 'late', models: ['late'], backendRefs: [{ name: 'openai', model: MODEL }] }];
  await waitFor('API server', () => applied(routeOf(NAMESPACE, 'late', rules)), HEALED_MS);
  console.log(`a route applied ${seconds()} s after the API server is back`);
  await waitFor('answer of the new route', () => answers('late'), HEALED_MS);
  console.log(`it serves after ${seconds()} s`);
  await waitUntilEnforcing(NAMESPACE, 'late');
  console.log(`its status says so after ${seconds()} s`);
  await settle(world, watched);
});

async function applied(route: ReturnType<typeof routeOf>): Promise<boolean> {
  return apply([route]).then(
    () => true,
    () => false,
  );
}

async function answers(model: string): Promise<boolean> {
  const request = { model, messages: say('Hello'), max_completion_tokens: 9 };
  return openaiClient(world.url)
    .chat.completions.create(request, mock({ tokens: 3 }))
    .then(
      () => true,
      () => false,
    );
}
