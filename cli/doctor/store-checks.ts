/** Checks the shared quota store, with a connection of its own. */
import { performance } from 'node:perf_hooks';
import type { SharedStoreConfig } from '../../contract/shared-store.ts';
import { closeRedis, openRedis } from '../../extproc/quota/shared/redis/redis-client.ts';
import { errorMessage } from '../../runtime/error-message.ts';
import { type CheckOutcome, ok, problem, warning } from './check-result.ts';

const SECTION = 'the-shared-store';
/** Below this, windows of a minute begin at about the same time everywhere. */
const MAX_SKEW_MS = 1_000;

/** The clock of the store, as far as the network lets it be known. */
export interface StoreClock {
  /** How far the store's clock is ahead of this machine's. */
  readonly aheadMs: number;
  /** Half of the time that the answer took. */
  readonly uncertaintyMs: number;
}

/** `readClock` rejects where the store is not reachable. */
export async function storeOutcomes(
  place: string,
  readClock: () => Promise<StoreClock>,
): Promise<readonly CheckOutcome[]> {
  let clock: StoreClock;
  try {
    clock = await readClock();
  } catch (error) {
    const fix = 'start the store, or correct TALLYGATE_QUOTA_STORE_URL and the files with its password and CA';
    return [problem(`${place} does not answer: ${errorMessage(error)}`, fix, SECTION)];
  }
  const { aheadMs, uncertaintyMs } = clock;
  const differenceMs = Math.abs(aheadMs);
  const text = `the clock of ${place} is ${(differenceMs / 1000).toFixed(1)} s ${aheadMs < 0 ? 'behind' : 'ahead'}`;
  return [
    ok(`${place} answers`),
    differenceMs - uncertaintyMs > MAX_SKEW_MS
      ? warning(text, 'synchronize the clocks of both machines by NTP', SECTION)
      : ok('its clock agrees with that of this machine'),
  ];
}

export async function readStoreClock(config: SharedStoreConfig): Promise<StoreClock> {
  const client = openRedis(config, Math.random);
  const failed = Promise.withResolvers<never>();
  // The client tries again by itself; its first error tells why the store is not reachable.
  client.on('error', (error: Error) => failed.reject(error));
  failed.promise.catch(() => {});
  try {
    await Promise.race([client.connect(), failed.promise]);
    const startedAt = performance.now();
    const [seconds, microseconds] = (await Promise.race([client.call('TIME'), failed.promise])) as [string, string];
    const uncertaintyMs = (performance.now() - startedAt) / 2;
    const storeMs = Number(seconds) * 1000 + Number(microseconds) / 1000;
    return { aheadMs: storeMs + uncertaintyMs - Date.now(), uncertaintyMs };
  } finally {
    closeRedis(client);
  }
}
