/**
 * Sends traffic while programs are replaced, and compares afterwards what clients received with
 * what was charged.
 */
import assert from 'node:assert/strict';
import { accessRecord } from '../../data-plane/support/records.ts';
import { waitFor } from '../../data-plane/support/wait.ts';
import { get, kubectl } from './kubectl.ts';
import { type FollowedLogs, followLogs } from './logs.ts';
import { ownedBy } from './reach.ts';
import { shown, startTraffic, type Traffic } from './traffic.ts';
import type { ClusterWorld } from './world.ts';

const ENDED_MS = 90_000;
const RECORDS_MS = 30_000;

export interface WatchedTraffic {
  readonly traffic: Traffic;
  readonly logs: FollowedLogs;
}

/** Starts traffic to the route `chat`, and follows its access lines. */
export function startWatchedTraffic({ namespace, url }: ClusterWorld, model: string): WatchedTraffic {
  const ofRoute = `"route":"${namespace}/chat"`;
  const logs = followLogs(ownedBy(namespace, 'ai'), 'tallygate', (text) => text.includes(ofRoute));
  return { traffic: startTraffic({ url, model }), logs };
}

export async function restartProxies(namespace: string): Promise<void> {
  const { items } = await get('deployments', '-A', '-l', ownedBy(namespace, 'ai'));
  const [{ metadata }] = items;
  const deployment = ['-n', metadata.namespace, `deployment/${metadata.name}`];
  await kubectl('rollout', 'restart', ...deployment);
  await kubectl('rollout', 'status', ...deployment, '--timeout=100s');
}

/** Stops the traffic in a hook, even if `settle` was not called. */
export async function stopWatching(watched: WatchedTraffic | undefined): Promise<void> {
  await watched?.traffic.stop();
  await watched?.logs.close();
}

/**
 * Ends the traffic. Asserts that nothing failed, everything was counted once, and the old programs
 * have ended.
 */
export async function settle({ namespace }: ClusterWorld, { traffic, logs }: WatchedTraffic): Promise<void> {
  await traffic.stop();
  assert.equal(traffic.failures.length, 0, shown(traffic));
  await waitFor('end of the proxies that were exchanged', async () => (await leaving(namespace)) === 0, ENDED_MS);
  const records = () => logs.lines.map(({ text }) => accessRecord(text)).filter((each) => each !== undefined);
  const all = () => traffic.answered + traffic.streamed;
  await waitFor(
    'access records',
    () => records().length >= all(),
    RECORDS_MS,
    () => `${records().length} of ${all()}`,
  );
  assert.equal(records().length, all());
  assert.equal(
    records().reduce((sum, { outputTokens = 0 }) => sum + outputTokens, 0),
    traffic.outputTokens,
  );
  assert.deepEqual([...new Set(records().map(({ source }) => source))], ['provider']);
  console.log(`${traffic.answered} requests, ${traffic.streamed} streams, ${traffic.outputTokens} output tokens`);
}

async function leaving(namespace: string): Promise<number> {
  const { items } = await get('pods', '-A', '-l', ownedBy(namespace, 'ai'));
  return items.filter(({ metadata }: { metadata: { deletionTimestamp?: string } }) => metadata.deletionTimestamp)
    .length;
}
