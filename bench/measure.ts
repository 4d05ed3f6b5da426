/** One run under load on one side, with its processor time and the state of the event loop. */

import type { EmptyGateway } from './empty.ts';
import type { LoadOptions, LoadReport } from './load.ts';
import { cpuMs, residentBytes } from './processes.ts';
import { samplesOf } from './prometheus.ts';
import type { Comparison, LoopReading, Pair, RunSample } from './results.ts';
import { sum } from './statistics.ts';
import type { Testbed } from './testbed.ts';

export type Load = Omit<LoadOptions, 'port'>;
export type Per = 'request' | 'chunk';

/**
 * A service runs for days, and V8's compilation would distort the result: with 60 KB prompts its
 * threads take 140 µs a request in the first seconds, and 36 µs after six.
 */
const WARM_UP_REQUESTS = 20_000;
const WARM_UP_STREAMS = 3_000;
const WARM_UP_MAX_SECONDS = 15;
/** The warm-up of one scenario. */
const SCENARIO_WARM_UP_SECONDS = 6;

export async function warmUp({ alone, gateway, runLoad }: Testbed): Promise<void> {
  for (const { port } of [alone, gateway]) {
    const load = { port, connections: 16, seconds: WARM_UP_MAX_SECONDS };
    await runLoad({ ...load, count: WARM_UP_REQUESTS });
    await runLoad({ ...load, count: WARM_UP_STREAMS, stream: true });
  }
}

/**
 * Runs rounds of Envoy alone, the gateway and, if it is given, the empty processor in turn. The
 * first side alternates, so that none always runs on a warmer machine.
 */
export async function compare(
  testbed: Testbed,
  scenario: { readonly name: string; readonly kind: Comparison['kind']; readonly per: Per; readonly load: Load },
  rounds: number,
  empty?: EmptyGateway,
): Promise<Comparison> {
  const { name, kind, per, load } = scenario;
  await testbed.runLoad({ ...load, seconds: 1, port: testbed.alone.port });
  for (const { port } of empty === undefined ? [testbed.gateway] : [testbed.gateway, empty]) {
    await testbed.runLoad({ ...load, seconds: SCENARIO_WARM_UP_SECONDS, port });
  }
  const pairs: Pair[] = [];
  for (let round = 0; round < rounds; round += 1) {
    pairs.push(await measurePair(testbed, load, per, round % 2 === 0, empty));
  }
  return { name, kind, per, pairs };
}

async function measurePair(
  testbed: Testbed,
  load: Load,
  per: Per,
  aloneFirst: boolean,
  empty: EmptyGateway | undefined,
): Promise<Pair> {
  const measureRest = async () => {
    const gateway = await measureGateway(testbed, load, per);
    return empty === undefined ? { gateway } : { gateway, empty: await measureEmpty(testbed, empty, load, per) };
  };
  if (aloneFirst) {
    const alone = await measureAlone(testbed, load, per);
    return { alone, ...(await measureRest()) };
  }
  const rest = await measureRest();
  return { alone: await measureAlone(testbed, load, per), ...rest };
}

async function measureEmpty(testbed: Testbed, empty: EmptyGateway, load: Load, per: Per): Promise<RunSample> {
  const pids = [empty.envoyPid, testbed.provider.pid, empty.processorPid];
  const { report, spentMs } = await measured(testbed, pids, { ...load, port: empty.port });
  return { ...sample(report, per, load, spentMs), processorResidentBytes: residentBytes(empty.processorPid) };
}

async function measureAlone(testbed: Testbed, load: Load, per: Per): Promise<RunSample> {
  const pids = [testbed.alone.pid, testbed.provider.pid];
  const { report, spentMs } = await measured(testbed, pids, { ...load, port: testbed.alone.port });
  return sample(report, per, load, spentMs);
}

async function measureGateway(testbed: Testbed, load: Load, per: Per): Promise<RunSample> {
  const { gateway, provider } = testbed;
  await readLoop(gateway.metrics);
  const pids = [gateway.envoyPid, provider.pid, gateway.extprocPid];
  const { report, spentMs } = await measured(testbed, pids, { ...load, port: gateway.port });
  return {
    ...sample(report, per, load, spentMs),
    processorResidentBytes: residentBytes(gateway.extprocPid),
    loop: await readLoop(gateway.metrics),
  };
}

/** Returns the processor time of each process during the load. */
async function measured(
  { runLoad }: Testbed,
  pids: readonly number[],
  load: LoadOptions,
): Promise<{ readonly report: LoadReport; readonly spentMs: readonly number[] }> {
  const before = pids.map(cpuMs);
  const report = await runLoad(load);
  return { report, spentMs: pids.map((pid, index) => cpuMs(pid) - before[index]!) };
}

function sample(report: LoadReport, per: Per, load: Load, spentMs: readonly number[]): RunSample {
  const { requestsPerSecond, latencyMs, firstByteMs, chunkDelayMs, outcomes } = report;
  const units = sum(Object.values(outcomes)) * (per === 'chunk' ? (load.chunks ?? 1) : 1);
  const [envoyUs = 0, providerUs = 0, processorUs] = spentMs.map((ms) => (ms * 1000) / units);
  return {
    requestsPerSecond,
    latencyMs,
    firstByteMs,
    chunkDelayMs,
    outcomes,
    envoyUs,
    providerUs,
    ...(processorUs !== undefined && { processorUs }),
  };
}

/** Reads the gauges of the event loop, which cover the time since the last read. */
export async function readLoop(metrics: () => Promise<string>): Promise<LoopReading> {
  const samples = samplesOf(await metrics());
  const read = (name: string, statistic: string) =>
    (samples.find((one) => one.name === name && one.labels['statistic'] === statistic)?.value ?? Number.NaN) * 1000;
  return {
    delayMaxMs: read('nodejs_eventloop_delay', 'max'),
    delayP99Ms: read('nodejs_eventloop_delay', 'p99'),
    gcMaxMs: read('nodejs_gc_pause', 'max'),
  };
}
