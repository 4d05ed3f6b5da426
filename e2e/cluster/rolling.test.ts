/**
 * Replaces the proxies under traffic, without failed requests. `rolling-long.test.ts` does the same
 * with all programs, for longer.
 */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { waitFor } from '../data-plane/support/wait.ts';
import { install } from './support/helm.ts';
import { proxyPods } from './support/reach.ts';
import { restartProxies, settle, startWatchedTraffic, stopWatching, type WatchedTraffic } from './support/rolling.ts';
import { shown } from './support/traffic.ts';
import { type ClusterWorld, startClusterWorld } from './support/world.ts';

const REQUESTS = 1_500;

let world: ClusterWorld;
let watched: WatchedTraffic | undefined;
before(async () => {
  await install();
  world = await startClusterWorld('tge-rolling');
});
after(async () => {
  await stopWatching(watched);
  await world?.stop();
});

it('no request fails, streams are complete and everything is counted while proxies are replaced', async () => {
  watched = startWatchedTraffic(world, 'gpt-4o-mini');
  const { traffic } = watched;
  await Promise.all([20, 30].map(traffic.stream));
  const [old] = await proxyPods(world.namespace, 'ai');
  traffic.during('while the proxies roll');
  await restartProxies(world.namespace);
  assert.notEqual((await proxyPods(world.namespace, 'ai'))[0].metadata.uid, old.metadata.uid);
  await waitFor(
    'requests',
    () => traffic.answered >= REQUESTS,
    60_000,
    () => shown(traffic),
  );
  await settle(world, watched);
});
