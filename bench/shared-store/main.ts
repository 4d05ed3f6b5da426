/**
 * Measures what sharing quotas in a Redis on the same machine costs: a gateway with its own store
 * and one with the shared store in turn, other round trips, many keys, and calls as the load grows.
 * Needs redis-server and redis-cli.
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { startRedis } from '../../fixtures/redis-server.ts';
import { startSlowProxy } from '../../fixtures/slow-proxy.ts';
import type { MeasuredGateway } from '../gateway.ts';
import { budgetResources, resources } from '../resources.ts';
import { type Testbed, withTestbed } from '../testbed.ts';
import { callsUnderLoad, costOfSharing, manyKeys, type SharedSide } from './measure.ts';
import { type SharedStoreResults, sharedStorePage } from './page.ts';

const ROUND_TRIPS_MS = [1, 5, 20];
/** One quota may have three quarters of the keys of a gateway, and others need a few. */
const ROOM_FOR_KEYS = 1.5;
const AMPLE_TOKENS = 1_000_000_000_000;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '3' },
      keys: { type: 'string', default: '100000' },
      'no-write': { type: 'boolean', default: false },
    },
  });
  const options = { rounds: Number(values.rounds), seconds: Number(values.seconds), keys: Number(values.keys) };
  const results = await withTestbed({}, (testbed) => measure(testbed, options));
  const page = sharedStorePage(results);
  console.log(page);
  if (!values['no-write']) {
    writeFileSync(path.join(import.meta.dirname, '../results/shared-store.md'), page);
  }
}

interface SharedStoreOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly keys: number;
}

async function measure(testbed: Testbed, options: SharedStoreOptions): Promise<SharedStoreResults> {
  const startedAt = new Date().toISOString();
  const costs: SharedStoreResults['costs'][number][] = [];
  const progress = (what: string) => console.error(`measuring: ${what}`);
  progress(`${options.keys} keys`);
  const room = { TALLYGATE_QUOTA_KEYS: `${Math.max(1_000, Math.ceil(options.keys * ROOM_FOR_KEYS))}` };
  const keys = await withShared(testbed, 0, (side) => manyKeys(side, options.keys), budgetOf(testbed), room);
  for (const roundTripMs of [0, ...ROUND_TRIPS_MS]) {
    progress(`round trip of ${roundTripMs} ms`);
    const rows = await withShared(testbed, roundTripMs, (side) => costOfSharing(testbed, side, options));
    costs.push({ roundTripMs, rows });
  }
  progress('calls under load');
  const calls = await withShared(testbed, 0, (side) => callsUnderLoad(side, options.seconds));
  return { startedAt, machine: testbed.machine, ...options, costs, calls, keys };
}

/** Returns resources with one quota, which has most of the keys. */
function budgetOf({ provider }: Testbed): (port: number) => string {
  return (port) => budgetResources(port, provider.port, AMPLE_TOKENS);
}

/** Runs `work` with a gateway that shares its counts in a new Redis. */
async function withShared<T>(
  testbed: Testbed,
  roundTripMs: number,
  work: (side: SharedSide) => Promise<T>,
  yaml: (port: number) => string = (port) => resources(port, testbed.provider.port),
  more: Readonly<Record<string, string>> = {},
): Promise<T> {
  const redis = await startRedis();
  const proxy = roundTripMs > 0 ? await startSlowProxy(redis.port, roundTripMs / 2) : undefined;
  const environment = { ...more, TALLYGATE_QUOTA_STORE_URL: `redis://127.0.0.1:${proxy?.port ?? redis.port}` };
  try {
    return await testbed.withGateway(yaml, (gateway: MeasuredGateway) => work({ gateway, redis }), [], environment);
  } finally {
    await proxy?.close();
    await redis.stop();
  }
}

await main();
