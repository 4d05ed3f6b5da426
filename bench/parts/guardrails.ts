/**
 * Measures what seven built-in detectors add, in requests and responses, through Envoy: a gateway
 * without and one with guardrails in turn.
 */
import type { MeasuredGateway } from '../gateway.ts';
import { type LoadOptions, type LoadReport, runLoad } from '../load.ts';
import type { Options } from '../options.ts';
import { cpuMs } from '../processes.ts';
import { guardrailResources, resources } from '../resources.ts';
import type { Figure } from '../results.ts';
import { median } from '../statistics.ts';
import type { Testbed } from '../testbed.ts';

const CHUNKS = 100;
const WARM_UP_SECONDS = 4;

type Load = Omit<LoadOptions, 'port' | 'seconds'>;

const loads = {
  /** As many streams as the machine can do: processor time of each chunk. */
  streams: { connections: 16, stream: true, chunks: CHUNKS },
  /** One stream at a time: when its first token comes. */
  stream: { connections: 1, stream: true, chunks: CHUNKS },
  json: { connections: 16 },
  prompt: { connections: 4, promptBytes: 1_000_000 },
} as const satisfies Record<string, Load>;
type LoadName = keyof typeof loads;

interface Run {
  readonly processorUs: number;
  readonly requestsPerSecond: number;
  readonly firstByteMs: number;
}

type Runs = Record<LoadName, Run>;

export async function guardrails(testbed: Testbed, options: Options): Promise<readonly Figure[]> {
  return testbed.withGateway(
    (port) => resources(port, testbed.provider.port),
    (open) =>
      testbed.withGateway(
        (port) => guardrailResources(port, testbed.provider.port),
        (guarded) => measure(open, guarded, options),
      ),
  );
}

async function measure(
  open: MeasuredGateway,
  guarded: MeasuredGateway,
  { seconds, rounds }: Options,
): Promise<readonly Figure[]> {
  for (const gateway of [open, guarded]) {
    await runAll(gateway, WARM_UP_SECONDS);
  }
  const pairs: { readonly open: Runs; readonly guarded: Runs }[] = [];
  for (let round = 0; round < rounds; round += 1) {
    pairs.push({ open: await runAll(open, seconds), guarded: await runAll(guarded, seconds) });
  }
  const part = 'guardrails';
  const added = (name: LoadName, read: (run: Run) => number) =>
    median(pairs.map((pair) => read(pair.guarded[name]) - read(pair.open[name])));
  const ratio = (name: LoadName) =>
    median(pairs.map((pair) => pair.guarded[name].requestsPerSecond / pair.open[name].requestsPerSecond));
  const processor = ({ processorUs }: Run) => processorUs;
  return [
    {
      part,
      name: 'processor, added to a chunk of a stream by seven detectors',
      value: added('streams', processor) / CHUNKS,
      unit: 'µs',
      goal: { atMost: 30 },
    },
    {
      part,
      name: 'first byte of a stream at p50, added',
      value: added('stream', ({ firstByteMs }) => firstByteMs),
      unit: 'ms',
      goal: { atMost: 1 },
    },
    { part, name: 'processor, added to a small JSON request', value: added('json', processor), unit: 'µs' },
    {
      part,
      name: 'processor, added to a prompt of 1 MB',
      value: added('prompt', processor) / 1000,
      unit: 'ms',
      goal: { atMost: 8 },
    },
    { part, name: 'streams a second, ratio to no guardrails', value: ratio('streams'), unit: '' },
    { part, name: 'JSON requests a second, ratio to no guardrails', value: ratio('json'), unit: '' },
    { part, name: 'prompts of 1 MB a second, ratio to no guardrails', value: ratio('prompt'), unit: '' },
  ];
}

async function runAll(gateway: MeasuredGateway, seconds: number): Promise<Runs> {
  return {
    streams: await run(gateway, seconds, loads.streams),
    stream: await run(gateway, seconds, loads.stream),
    json: await run(gateway, seconds, loads.json),
    prompt: await run(gateway, seconds, loads.prompt),
  };
}

async function run({ port, extprocPid }: MeasuredGateway, seconds: number, load: Load): Promise<Run> {
  const beforeMs = cpuMs(extprocPid);
  const report = await runLoad({ ...load, port, seconds });
  assertServed(report);
  return {
    processorUs: ((cpuMs(extprocPid) - beforeMs) * 1000) / report.requests,
    requestsPerSecond: report.requestsPerSecond,
    firstByteMs: report.firstByteMs.p50,
  };
}

function assertServed({ outcomes }: LoadReport): void {
  if (Object.keys(outcomes).some((outcome) => outcome !== '200')) {
    throw new Error(`requests failed: ${JSON.stringify(outcomes)}`);
  }
}
