/**
 * Measures the memory of an open stream: a separate gateway, and streams that stay open with a
 * client that reads.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { MeasuredGateway } from '../gateway.ts';
import { runLoad } from '../load.ts';
import { cpuMs, residentBytes } from '../processes.ts';
import { resources } from '../resources.ts';
import type { Figure } from '../results.ts';
import { median } from '../statistics.ts';
import type { Testbed } from '../testbed.ts';

const COUNTS = [1000, 5000];
const RAMP_SECONDS = 4;
const SETTLE_SECONDS = 6;
const PACE_MS = 1000;

interface MemoryReading {
  readonly streams: number;
  readonly processorBytes: number;
  readonly envoyBytes: number;
  readonly processorCpuShare: number;
}

export function openStreams(testbed: Testbed): Promise<readonly Figure[]> {
  return testbed.withGateway(
    (port) => resources(port, testbed.provider.port),
    async (gateway) => {
      await runLoad({ port: gateway.port, connections: 16, seconds: 1, stream: true });
      const readings: MemoryReading[] = [reading(gateway, 0, 0)];
      for (const streams of COUNTS) {
        readings.push(await hold(gateway, streams));
      }
      return figures(readings);
    },
  );
}

function reading(gateway: MeasuredGateway, streams: number, processorCpuShare: number): MemoryReading {
  const { extprocPid, envoyPid } = gateway;
  return {
    streams,
    processorBytes: residentBytes(extprocPid),
    envoyBytes: residentBytes(envoyPid),
    processorCpuShare,
  };
}

async function hold(gateway: MeasuredGateway, streams: number): Promise<MemoryReading> {
  const seconds = RAMP_SECONDS + SETTLE_SECONDS;
  const load = runLoad({
    port: gateway.port,
    connections: streams,
    seconds,
    rampSeconds: RAMP_SECONDS,
    stream: true,
    abort: true,
    detail: 'open/',
    chunks: 1000,
    paceMs: PACE_MS,
  });
  const samples: MemoryReading[] = [];
  await sleep((RAMP_SECONDS + 2) * 1000);
  for (let second = 0; second < SETTLE_SECONDS - 3; second += 1) {
    const before = cpuMs(gateway.extprocPid);
    await sleep(1000);
    samples.push(reading(gateway, streams, (cpuMs(gateway.extprocPid) - before) / 1000));
  }
  const report = await load;
  const alive = (report.details ?? []).filter(({ outcome, chunks }) => outcome === 'aborted' && chunks > 0).length;
  if (alive !== streams) {
    throw new Error(`${alive} of ${streams} streams stayed open: ${JSON.stringify(report.outcomes)}`);
  }
  const middle = (read: (sample: MemoryReading) => number) => median(samples.map(read));
  return {
    streams,
    processorBytes: middle((one) => one.processorBytes),
    envoyBytes: middle((one) => one.envoyBytes),
    processorCpuShare: middle((one) => one.processorCpuShare),
  };
}

function figures(readings: readonly MemoryReading[]): readonly Figure[] {
  const part = 'open streams';
  const idle = readings[0]!;
  const [few, many] = [readings.at(-2)!, readings.at(-1)!];
  const kb = (bytes: number) => bytes / 1024;
  const mb = (bytes: number) => bytes / 2 ** 20;
  const between = (one: MemoryReading, other: MemoryReading, read: (reading: MemoryReading) => number) =>
    kb((read(other) - read(one)) / (other.streams - one.streams));
  const processor = (one: MemoryReading) => one.processorBytes;
  return [
    ...readings.map((one) => ({
      part,
      name: `processor, resident, ${one.streams} open streams`,
      value: mb(one.processorBytes),
      unit: 'MB',
    })),
    {
      part,
      name: `processor, an open stream (from 0 to ${many.streams})`,
      value: between(idle, many, processor),
      unit: 'KB',
      goal: { atMost: 64 },
    },
    {
      part,
      name: `processor, an open stream (from ${few.streams} to ${many.streams})`,
      value: between(few, many, processor),
      unit: 'KB',
      goal: { atMost: 64 },
    },
    {
      part,
      name: `Envoy, an open stream (from ${few.streams} to ${many.streams})`,
      value: between(few, many, (one) => one.envoyBytes),
      unit: 'KB',
    },
    {
      part,
      name: `processor, share of a core, ${many.streams} streams at one chunk per second`,
      value: many.processorCpuShare * 100,
      unit: '%',
    },
  ];
}
