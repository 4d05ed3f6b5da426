/** Writes the costs of conversions and failovers as a page. */
import { machineLines, short, table } from '../report.ts';
import type { Machine } from '../results.ts';
import { median, ratioOf } from '../statistics.ts';

export type Way = 'alone' | 'plain' | 'converted' | 'failover' | 'failing';

export const WAYS: readonly { readonly way: Way; readonly name: string }[] = [
  { way: 'alone', name: 'Envoy alone' },
  { way: 'plain', name: 'to an OpenAI backend' },
  { way: 'converted', name: 'converted for an Anthropic backend' },
  { way: 'failover', name: 'two backends with `failover`, none fails' },
  { way: 'failing', name: 'the first of two backends always answers 503' },
];

/** Medians of one run. */
export interface ConversionRun {
  readonly requestsPerSecond: number;
  readonly latencyMs: number;
  readonly firstByteMs: number;
  /** Processor time per request. */
  readonly envoyUs: number;
  readonly processorUs: number | undefined;
  /** Attempts per request. */
  readonly attempts: number;
}

type RunsByWay = Readonly<Record<Way, readonly ConversionRun[]>>;

export interface ConversionResults {
  readonly startedAt: string;
  readonly machine: Machine;
  readonly rounds: number;
  readonly seconds: number;
  readonly loads: { readonly json: RunsByWay; readonly streams: RunsByWay };
}

/**
 * Requests per second of Envoy AI Gateway 1.1 as a ratio to Envoy alone, measured on 2026-11-27
 * with the same kinds of load.
 */
const ENVOY_AI_GATEWAY = { json: 0.23, streams: 0.45 };

export function conversionPage({ startedAt, machine, rounds, seconds, loads }: ConversionResults): string {
  return `${[
    '# What conversions and failovers cost',
    [...machineLines(startedAt, machine), ...busyLine(machine)].join('\n'),
    `A client of chat completions, 16 connections. All ways in turn, ${rounds} rounds of ${seconds} s; medians, and ratios by round (minimum to maximum in brackets). Provider, client, both Envoys and the processor share these cores. Tallygate counts tokens and enforces one quota on every request.`,
    'The provider that always answers 503 asks for a retry after 0 ms, so its backend does not rest and each request takes two attempts.',
    '## JSON',
    waysTable(loads.json),
    '## Streams of 100 chunks',
    waysTable(loads.streams),
    '## Envoy AI Gateway',
    comparison(loads),
    'The figures of Envoy AI Gateway 1.1 (two ext_proc streams a request) are from 2026-11-27, with the same kinds of load on the same machine, three rounds, not converted and without failover. It was not measured again here.',
  ].join('\n\n')}\n`;
}

/** Other programs slow several processes down more than one, so ratios to Envoy alone mislead. */
function busyLine({ loadAverage, cores }: Machine): readonly string[] {
  return loadAverage > cores
    ? ['**Other programs used the cores during this run: compare the ways with each other, not with Envoy alone.**']
    : [];
}

function waysTable(runs: RunsByWay): string {
  const head = [
    '',
    'requests/s',
    'ratio to the OpenAI backend',
    'p50, ms',
    'first byte p50, ms',
    'processor, µs a request',
    'ratio',
    'Envoy, µs a request',
    'attempts a request',
  ];
  return table(
    head,
    WAYS.map(({ way, name }) => [
      name,
      short(medianOf(runs[way], rate)),
      ratio(runs, way, 'plain', rate),
      short(medianOf(runs[way], (run) => run.latencyMs)),
      short(medianOf(runs[way], (run) => run.firstByteMs)),
      short(medianOf(runs[way], processor)),
      way === 'alone' ? '–' : ratio(runs, way, 'plain', processor),
      short(medianOf(runs[way], (run) => run.envoyUs)),
      short(medianOf(runs[way], (run) => run.attempts)),
    ]),
  );
}

function comparison({ json, streams }: ConversionResults['loads']): string {
  return table(
    ['requests/s, ratio to Envoy alone', 'JSON', 'streams of 100 chunks'],
    [
      ...WAYS.slice(1).map(({ way, name }) => [
        name,
        ratio(json, way, 'alone', rate),
        ratio(streams, way, 'alone', rate),
      ]),
      ['Envoy AI Gateway 1.1, to an OpenAI backend', short(ENVOY_AI_GATEWAY.json), short(ENVOY_AI_GATEWAY.streams)],
    ],
  );
}

function medianOf(runs: readonly ConversionRun[], read: (run: ConversionRun) => number): number {
  return median(runs.map(read));
}

function rate({ requestsPerSecond }: ConversionRun): number {
  return requestsPerSecond;
}

function processor({ processorUs }: ConversionRun): number {
  return processorUs ?? Number.NaN;
}

function ratio(runs: RunsByWay, way: Way, to: Way, read: (run: ConversionRun) => number): string {
  const pairs = runs[way].map((run, round) => [read(run), read(runs[to][round]!)] as const);
  const { median: middle, least, most } = ratioOf(pairs);
  return least === most ? short(middle) : `${short(middle)} (${short(least)}–${short(most)})`;
}
