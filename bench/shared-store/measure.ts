/** The measurements of the shared store. */
import type { RedisServer } from '../../fixtures/redis-server.ts';
import type { MeasuredGateway } from '../gateway.ts';
import { type LoadOptions, type LoadReport, runLoad } from '../load.ts';
import { cpuMs, residentBytes } from '../processes.ts';
import type { Testbed } from '../testbed.ts';
import { readRedis } from './redis.ts';

export interface SharedSide {
  readonly gateway: MeasuredGateway;
  readonly redis: RedisServer;
}

type Load = Omit<LoadOptions, 'port' | 'seconds'>;

const scenarios: readonly { readonly name: string; readonly load: Load }[] = [
  { name: 'JSON, 1 connection', load: { connections: 1 } },
  { name: 'JSON, 16 connections', load: { connections: 16 } },
  { name: 'streams of 100 chunks, 16 connections', load: { connections: 16, stream: true } },
];
const CONNECTIONS = [1, 4, 16, 64];
const WARM_UP_SECONDS = 2;
const COLD_REQUESTS = 200;

export interface SideSample {
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Processor time of extproc for one request. */
  readonly processorUs: number;
}

export interface CostRow {
  readonly name: string;
  readonly pairs: readonly { readonly own: SideSample; readonly shared: SideSample }[];
  /** Script calls for each request. */
  readonly callsPerRequest: number;
}

export interface ColdRow {
  /** Median time of the first request of a key. */
  readonly ownMs: number;
  readonly sharedMs: number;
}

/** Runs each scenario on the gateway with its own store and on the one with the shared store. */
export async function costOfSharing(
  { gateway: own }: Testbed,
  side: SharedSide,
  { rounds, seconds }: { readonly rounds: number; readonly seconds: number },
): Promise<{ readonly scenarios: readonly CostRow[]; readonly cold: ColdRow }> {
  const rows: CostRow[] = [];
  for (const { name, load } of scenarios) {
    await sample(own, { ...load, seconds: WARM_UP_SECONDS });
    await sample(side.gateway, { ...load, seconds: WARM_UP_SECONDS });
    const before = await readRedis(side.redis);
    let requests = 0;
    const pairs: CostRow['pairs'][number][] = [];
    for (let round = 0; round < rounds; round += 1) {
      // The first side alternates, so that neither always runs on a warmer machine.
      const first = await sample(round % 2 === 0 ? own : side.gateway, { ...load, seconds });
      const second = await sample(round % 2 === 0 ? side.gateway : own, { ...load, seconds });
      const [ownSample, shared] = round % 2 === 0 ? [first, second] : [second, first];
      requests += shared.requestsPerSecond * seconds;
      pairs.push({ own: ownSample, shared });
    }
    const { scripts } = await readRedis(side.redis);
    rows.push({ name, pairs, callsPerRequest: (scripts - before.scripts) / requests });
  }
  return { scenarios: rows, cold: { ownMs: await cold(own), sharedMs: await cold(side.gateway) } };
}

async function sample(gateway: MeasuredGateway, load: Load & { readonly seconds: number }): Promise<SideSample> {
  const before = cpuMs(gateway.extprocPid);
  const report = checked(await runLoad({ ...load, port: gateway.port }));
  return {
    requestsPerSecond: report.requestsPerSecond,
    p50Ms: report.latencyMs.p50,
    p99Ms: report.latencyMs.p99,
    processorUs: ((cpuMs(gateway.extprocPid) - before) * 1000) / report.requests,
  };
}

async function cold({ port }: MeasuredGateway): Promise<number> {
  const load = { port, connections: 1, seconds: 60, count: COLD_REQUESTS, keys: COLD_REQUESTS };
  return checked(await runLoad(load)).latencyMs.p50;
}

export interface CallsRow {
  readonly connections: number;
  readonly requestsPerSecond: number;
  readonly callsPerSecond: number;
  /** Processor time of Redis for each second. */
  readonly redisMs: number;
}

/** Counts script calls while the load grows. */
export async function callsUnderLoad({ gateway, redis }: SharedSide, seconds: number): Promise<readonly CallsRow[]> {
  await runLoad({ port: gateway.port, connections: 16, seconds: WARM_UP_SECONDS });
  const rows: CallsRow[] = [];
  for (const connections of CONNECTIONS) {
    const before = await readRedis(redis);
    const report = checked(await runLoad({ port: gateway.port, connections, seconds: 2 * seconds }));
    const after = await readRedis(redis);
    rows.push({
      connections,
      requestsPerSecond: report.requestsPerSecond,
      callsPerSecond: (after.scripts - before.scripts) / report.seconds,
      redisMs: (after.cpuMs - before.cpuMs) / report.seconds,
    });
  }
  return rows;
}

export interface KeysRow {
  /** Keys that have been used so far. */
  readonly keys: number;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly processorUs: number;
  readonly callsPerRequest: number;
  readonly extprocBytes: number;
  readonly redisBytes: number;
}

/** Each request is the first of its key, from a few keys to all. */
export async function manyKeys({ gateway, redis }: SharedSide, most: number): Promise<readonly KeysRow[]> {
  await runLoad({ port: gateway.port, connections: 16, seconds: WARM_UP_SECONDS });
  const rows: KeysRow[] = [];
  for (const keys of [most / 100, most / 10, most / 2, most]) {
    const before = { cpu: cpuMs(gateway.extprocPid), redis: await readRedis(redis) };
    const report = checked(await runLoad({ port: gateway.port, connections: 16, seconds: 600, count: keys, keys }));
    const after = await readRedis(redis);
    rows.push({
      keys,
      requestsPerSecond: report.requestsPerSecond,
      p50Ms: report.latencyMs.p50,
      p99Ms: report.latencyMs.p99,
      processorUs: ((cpuMs(gateway.extprocPid) - before.cpu) * 1000) / report.requests,
      callsPerRequest: (after.scripts - before.redis.scripts) / report.requests,
      extprocBytes: residentBytes(gateway.extprocPid),
      redisBytes: after.memoryBytes,
    });
  }
  return rows;
}

function checked(report: LoadReport): LoadReport {
  const failed = Object.keys(report.outcomes).filter((outcome) => outcome !== '200');
  if (failed.length > 0) {
    throw new Error(`requests failed: ${JSON.stringify(report.outcomes)}`);
  }
  return report;
}
