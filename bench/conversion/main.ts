/**
 * Measures what a conversion and a failover cost: requests by each way through one gateway in turn,
 * and through Envoy alone.
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type { MeasuredGateway } from '../gateway.ts';
import { type LoadOptions, runLoad } from '../load.ts';
import { cpuMs } from '../processes.ts';
import { conversionResources } from '../resources.ts';
import { sum } from '../statistics.ts';
import { type Testbed, withTestbed } from '../testbed.ts';
import { type ConversionResults, type ConversionRun, conversionPage, WAYS, type Way } from './page.ts';

const WARM_UP_SECONDS = 5;
const CONNECTIONS = 16;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '3' },
      'no-write': { type: 'boolean', default: false },
    },
  });
  const options = { rounds: Number(values.rounds), seconds: Number(values.seconds) };
  const results = await withTestbed({}, (testbed) =>
    testbed.withGateway(
      (port) => conversionResources(port, testbed.provider.port),
      (gateway) => measure(testbed, gateway, options),
    ),
  );
  const page = conversionPage(results);
  console.log(page);
  if (!values['no-write']) {
    writeFileSync(path.join(import.meta.dirname, '../results/conversion.md'), page);
  }
}

async function measure(
  testbed: Testbed,
  gateway: MeasuredGateway,
  options: { readonly rounds: number; readonly seconds: number },
): Promise<ConversionResults> {
  const startedAt = new Date().toISOString();
  const loads = { json: newRuns(), streams: newRuns() };
  for (const stream of [false, true]) {
    for (const { way } of WAYS) {
      await run(testbed, gateway, way, { stream, seconds: WARM_UP_SECONDS });
    }
    for (let round = 0; round < options.rounds; round += 1) {
      console.error(`${stream ? 'streams' : 'JSON'}, round ${round + 1}`);
      // The first way changes, so that none always runs on a warmer machine.
      for (const { way } of WAYS.map((_, index) => WAYS[(index + round) % WAYS.length]!)) {
        loads[stream ? 'streams' : 'json'][way].push(
          await run(testbed, gateway, way, { stream, seconds: options.seconds }),
        );
      }
    }
  }
  return { startedAt, machine: testbed.machine, ...options, loads };
}

function newRuns(): Record<Way, ConversionRun[]> {
  return { alone: [], plain: [], converted: [], failover: [], failing: [] };
}

async function run(
  { alone }: Testbed,
  gateway: MeasuredGateway,
  way: Way,
  load: Pick<LoadOptions, 'stream' | 'seconds'>,
): Promise<ConversionRun> {
  const { port } = way === 'alone' ? alone : gateway;
  const pids = way === 'alone' ? [alone.pid] : [gateway.envoyPid, gateway.extprocPid];
  gateway.accessLines();
  const beforeMs = pids.map(cpuMs);
  const model = way === 'alone' ? {} : { model: way };
  const report = await runLoad({ ...load, ...model, port, connections: CONNECTIONS });
  const [envoyUs = 0, processorUs] = pids.map(
    (pid, index) => ((cpuMs(pid) - beforeMs[index]!) * 1000) / report.requests,
  );
  if (Object.keys(report.outcomes).some((outcome) => outcome !== '200')) {
    throw new Error(`requests of ${way} failed: ${JSON.stringify(report.outcomes)}\n${gateway.trouble()}`);
  }
  return {
    requestsPerSecond: report.requestsPerSecond,
    latencyMs: report.latencyMs.p50,
    firstByteMs: report.firstByteMs.p50,
    envoyUs,
    processorUs,
    attempts: way === 'alone' ? 1 : attemptsOf(gateway),
  };
}

/** Returns how many attempts a request took on average, since the last call. */
function attemptsOf(gateway: MeasuredGateway): number {
  const attempts = gateway.accessLines().map(({ attempts: all }) => (Array.isArray(all) ? all.length : 1));
  return sum(attempts) / attempts.length;
}

await main();
