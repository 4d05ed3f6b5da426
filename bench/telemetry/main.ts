/**
 * Measures what traces cost: requests through a gateway that exports nothing and through gateways
 * that export to a collector, in turn, and the memory of an open stream.
 */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { MeasuredGateway } from '../gateway.ts';
import { runLoad } from '../load.ts';
import { cpuMs, residentBytes, start } from '../processes.ts';
import { samplesOf } from '../prometheus.ts';
import { contentResources, resources } from '../resources.ts';
import { type Testbed, withTestbed } from '../testbed.ts';
import { type TelemetryResults, type TelemetryRun, type TelemetrySide, telemetryPage } from './page.ts';

const WARM_UP_SECONDS = 5;
const CONNECTIONS = 16;
const OPEN_STREAMS = 2000;
const RAMP_SECONDS = 4;

type Gateways = Readonly<Record<TelemetrySide, MeasuredGateway>>;

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
    withCollector([], (collector) =>
      withCollector(['hang'], (hung) =>
        withGateways(testbed, { collector, hung }, (gateways) => measure(testbed, gateways, options)),
      ),
    ),
  );
  const page = telemetryPage(results);
  console.log(page);
  if (!values['no-write']) {
    writeFileSync(path.join(import.meta.dirname, '../results/telemetry.md'), page);
  }
}

async function withCollector<T>(args: readonly string[], work: (url: string) => Promise<T>): Promise<T> {
  const file = path.join(import.meta.dirname, 'collector.ts');
  const running = start(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const [port] = await once(running.child.stdout!, 'data');
    return await work(`http://127.0.0.1:${String(port).trim()}`);
  } finally {
    await running.stop();
  }
}

function withGateways<T>(
  testbed: Testbed,
  urls: { readonly collector: string; readonly hung: string },
  work: (gateways: Gateways) => Promise<T>,
): Promise<T> {
  const yaml = (port: number) => resources(port, testbed.provider.port);
  const withContent = (port: number) => contentResources(port, testbed.provider.port);
  const everything = {
    OTEL_SEMCONV_STABILITY_OPT_IN: 'gen_ai_latest_experimental',
    TALLYGATE_OPENINFERENCE: 'on',
    OTEL_METRIC_EXPORT_INTERVAL: '5000',
  };
  const exporting = (url: string) => ({ ...everything, OTEL_EXPORTER_OTLP_ENDPOINT: url });
  const tenth = { OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.1' };
  const logs = { TALLYGATE_CONTENT_EXPORT: `otlp+${urls.collector}/v1/logs` };
  const withGateway = <R>(
    environment: NodeJS.ProcessEnv,
    use: (gateway: MeasuredGateway) => Promise<R>,
    its: (port: number) => string = yaml,
  ) => testbed.withGateway(its, use, [], environment);
  return withGateway({ ...exporting(urls.collector), ...tenth }, (sampled) =>
    withGateway(exporting(urls.collector), (on) =>
      withGateway(
        { ...exporting(urls.collector), ...logs },
        (content) =>
          withGateway(exporting(urls.hung), (hung) => work({ off: testbed.gateway, sampled, on, content, hung })),
        withContent,
      ),
    ),
  );
}

const SIDES: readonly TelemetrySide[] = ['off', 'sampled', 'on', 'content', 'hung'];

async function measure(
  testbed: Testbed,
  gateways: Gateways,
  options: { readonly rounds: number; readonly seconds: number },
): Promise<TelemetryResults> {
  const startedAt = new Date().toISOString();
  const loads = { json: newRuns(), streams: newRuns() };
  for (const stream of [false, true]) {
    for (const side of SIDES) {
      await run(gateways[side], stream, WARM_UP_SECONDS);
    }
    for (let round = 0; round < options.rounds; round += 1) {
      console.error(`${stream ? 'streams' : 'JSON'}, round ${round + 1}`);
      // The first side changes, so that none always runs on a warmer machine.
      for (const side of SIDES.map((_, index) => SIDES[(index + round) % SIDES.length]!)) {
        loads[stream ? 'streams' : 'json'][side].push(await run(gateways[side], stream, options.seconds));
      }
    }
  }
  const exported = await spans(gateways.on);
  const dropped = await spans(gateways.hung);
  const bytesAStream = { off: await memory(gateways.off), on: await memory(gateways.on) };
  return { startedAt, machine: testbed.machine, ...options, loads, bytesAStream, exported, dropped };
}

function newRuns(): Record<TelemetrySide, TelemetryRun[]> {
  return { off: [], sampled: [], on: [], content: [], hung: [] };
}

async function run(gateway: MeasuredGateway, stream: boolean, seconds: number): Promise<TelemetryRun> {
  gateway.accessLines();
  const beforeMs = cpuMs(gateway.extprocPid);
  const report = await runLoad({ port: gateway.port, connections: CONNECTIONS, seconds, stream });
  if (Object.keys(report.outcomes).some((outcome) => outcome !== '200')) {
    throw new Error(`requests failed: ${JSON.stringify(report.outcomes)}\n${gateway.trouble()}`);
  }
  return {
    requestsPerSecond: report.requestsPerSecond,
    latencyMs: report.latencyMs.p99,
    processorUs: ((cpuMs(gateway.extprocPid) - beforeMs) * 1000) / report.requests,
  };
}

/** Returns the spans that were exported and dropped. */
async function spans(gateway: MeasuredGateway): Promise<{ readonly exported: number; readonly dropped: number }> {
  const samples = samplesOf(await gateway.metrics());
  const read = (name: string) => samples.find((one) => one.name === name)?.value ?? 0;
  return { exported: read('tallygate_spans_exported_total'), dropped: read('tallygate_spans_dropped_total') };
}

/** Returns the memory that one more open stream takes. */
async function memory(gateway: MeasuredGateway): Promise<number> {
  const before = residentBytes(gateway.extprocPid);
  const load = runLoad({
    port: gateway.port,
    connections: OPEN_STREAMS,
    seconds: RAMP_SECONDS + 6,
    rampSeconds: RAMP_SECONDS,
    stream: true,
    abort: true,
    chunks: 1000,
    paceMs: 1000,
  });
  await sleep((RAMP_SECONDS + 4) * 1000);
  const bytes = (residentBytes(gateway.extprocPid) - before) / OPEN_STREAMS;
  await load;
  return bytes;
}

await main();
