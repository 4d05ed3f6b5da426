/**
 * Replaces proxies, the sidecar's image, the controller and the chart under traffic. Runs only by
 * name (`make e2e-cluster-long`).
 */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { waitFor } from '../data-plane/support/wait.ts';
import { CHART, install, SYSTEM } from './support/helm.ts';
import { kubectl } from './support/kubectl.ts';
import { proxyPods } from './support/reach.ts';
import { restartProxies, settle, startWatchedTraffic, stopWatching, type WatchedTraffic } from './support/rolling.ts';
import { shown } from './support/traffic.ts';
import { type ClusterWorld, startClusterWorld } from './support/world.ts';

const NAMESPACE = 'tge-rolling';
/** The number of requests in each of four steps. */
const REQUESTS = 2_600;
const STEP_MS = 120_000;
/**
 * Lengths of streams: some end during a replacement, and one is longer than the default drain time
 * of Envoy Gateway.
 */
const STREAM_SECONDS = [40, 70];

const [image, next] = [process.env['E2E_IMAGE'], process.env['E2E_NEXT_IMAGE']];
const folder = mkdtempSync(path.join(tmpdir(), 'tallygate-chart-'));
let world: ClusterWorld;
let watched: WatchedTraffic;

before(async () => {
  assert.ok(image && next, 'E2E_IMAGE and E2E_NEXT_IMAGE name the image and a second name of it');
  await install();
  world = await startClusterWorld(NAMESPACE);
  watched = startWatchedTraffic(world, 'gpt-4o-mini');
});
after(async () => {
  rmSync(folder, { recursive: true });
  await stopWatching(watched);
  await world?.stop();
});

/** Runs a replacement while streams are open, and waits for enough answered requests. */
async function under(what: string, exchange: () => Promise<void>): Promise<void> {
  const { traffic } = watched;
  const answered = traffic.answered;
  const startedAtMs = performance.now();
  await Promise.all(STREAM_SECONDS.map(traffic.stream));
  traffic.during(what);
  await exchange();
  const exchangedMs = performance.now() - startedAtMs;
  await waitFor(
    'requests',
    () => traffic.answered >= answered + REQUESTS,
    STEP_MS,
    () => shown(traffic),
  );
  console.log(`${what}: done after ${(exchangedMs / 1000).toFixed(1)} s; in all ${shown(traffic)}`);
  assert.equal(traffic.failures.length, 0, shown(traffic));
}

const proxies = () => proxyPods(NAMESPACE, 'ai');

/** Waits until all pods that do not drain have the image. */
async function untilProxiesHave(name: string): Promise<void> {
  await waitFor(
    `proxies with ${name}`,
    async () => {
      const pods = await proxies();
      return (
        pods.length > 0 &&
        pods.every(({ spec, status }) => {
          const sidecar = spec.initContainers.find((each: { name: string }) => each.name === 'tallygate');
          const ready = status.conditions?.find((each: { type: string }) => each.type === 'Ready');
          return sidecar.image === name && ready?.status === 'True';
        })
      );
    },
    STEP_MS,
  );
}

it('the proxies are replaced', () => under('while the proxies are restarted', () => restartProxies(NAMESPACE)));

it('the sidecar’s image is replaced by a value of the chart', () =>
  under('while the image changes', async () => {
    await install({ image: next! });
    await untilProxiesHave(next!);
  }));

it('the controller is replaced', () =>
  under('while the controller is restarted', async () => {
    const deployment = ['-n', SYSTEM, 'deployment/tallygate-controller'];
    await kubectl('rollout', 'restart', ...deployment);
    await kubectl('rollout', 'status', ...deployment, '--timeout=100s');
  }));

it('the chart is upgraded to a version with another image', () =>
  under('while the chart is upgraded', async () => {
    const chart = path.join(folder, 'tallygate');
    cpSync(CHART, chart, { recursive: true });
    const file = path.join(chart, 'Chart.yaml');
    const tag = image!.slice(image!.lastIndexOf(':') + 1);
    const text = readFileSync(file, 'utf8').replace(/^version: .*$/m, 'version: 0.9.9');
    writeFileSync(file, text.replace(/^appVersion: .*$/m, `appVersion: ${JSON.stringify(tag)}`));
    await install({ chart, image: image!, values: ['image.tag='] });
    await untilProxiesHave(image!);
  }));

it('no request failed, every stream was complete, and everything was counted', async () => {
  await settle(world, watched);
  const { traffic } = watched;
  assert.ok(traffic.answered >= 10_000, shown(traffic));
});
