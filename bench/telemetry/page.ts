/** Writes the costs of traces and metrics as a page. */
import { machineLines, short, table } from '../report.ts';
import type { Machine } from '../results.ts';
import { median, ratioOf } from '../statistics.ts';

/**
 * No export, a collector that accepts a tenth of the traces, all of them or also the content, and
 * one that never responds.
 */
export type TelemetrySide = 'off' | 'sampled' | 'on' | 'content' | 'hung';

export interface TelemetryRun {
  readonly requestsPerSecond: number;
  /** The 99th percentile. */
  readonly latencyMs: number;
  /** Processor time per request, of all threads of extproc. */
  readonly processorUs: number;
}

type RunsBySide = Readonly<Record<TelemetrySide, readonly TelemetryRun[]>>;

export interface TelemetryResults {
  readonly startedAt: string;
  readonly machine: Machine;
  readonly rounds: number;
  readonly seconds: number;
  readonly loads: { readonly json: RunsBySide; readonly streams: RunsBySide };
  readonly bytesAStream: { readonly off: number; readonly on: number };
  /** Of the gateway whose collector accepts everything, and of the one whose collector hangs. */
  readonly exported: { readonly exported: number; readonly dropped: number };
  readonly dropped: { readonly exported: number; readonly dropped: number };
}

const NAMES: Readonly<Record<TelemetrySide, string>> = {
  off: 'no export',
  sampled: 'traces of a tenth of the requests, metrics, OpenInference',
  on: 'traces of all requests, metrics, OpenInference',
  content: 'traces of all requests, metrics, OpenInference, and all content to OTLP logs',
  hung: 'traces and metrics, to a collector that never responds',
};

export function telemetryPage(results: TelemetryResults): string {
  const { startedAt, machine, rounds, seconds, loads, bytesAStream, exported, dropped } = results;
  const kilobytes = (bytes: number) => `${short(bytes / 1024)} KB`;
  return `${[
    '# What traces and content cost',
    machineLines(startedAt, machine).join('\n'),
    `Chat completions, 16 connections, five gateways in turn, ${rounds} rounds of ${seconds} s; medians, and ratios to no export by round (minimum to maximum in brackets). Provider, client, collector, Envoy and the processor share these cores, so the thread that builds and sends spans takes time from the others.`,
    '## JSON',
    rowsOf(loads.json),
    '## Streams',
    rowsOf(loads.streams),
    '## Bounds',
    `- The collector accepted ${exported.exported} spans; ${exported.dropped} were dropped.`,
    `- Of the collector that never responds, ${dropped.dropped} spans were dropped, and no request waited.`,
    `- An open stream takes ${kilobytes(bytesAStream.off)} without export and ${kilobytes(bytesAStream.on)} with it (resident memory of the processor; no span exists while a stream flows).`,
  ].join('\n\n')}\n`;
}

function rowsOf(runs: RunsBySide): string {
  const of = (side: TelemetrySide, member: keyof TelemetryRun) => median(runs[side].map((run) => run[member]));
  return table(
    ['', 'requests/s', 'ratio', 'p99 ms', 'processor µs/request'],
    (Object.keys(NAMES) as TelemetrySide[]).map((side) => {
      const ratio = ratioOf(
        runs[side].map((run, index) => [run.requestsPerSecond, runs.off[index]!.requestsPerSecond] as const),
      );
      return [
        NAMES[side],
        short(of(side, 'requestsPerSecond')),
        side === 'off' ? '' : `${ratio.median.toFixed(2)} (${ratio.least.toFixed(2)}–${ratio.most.toFixed(2)})`,
        short(of(side, 'latencyMs')),
        short(of(side, 'processorUs')),
      ];
    }),
  );
}
