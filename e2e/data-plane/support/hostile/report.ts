/** Writes the figures of a run as a page. */
import os from 'node:os';
import type { MixReport } from './run.ts';

export function reportPage(report: MixReport, clients: { readonly hostile: number; readonly behaved: number }): string {
  const rows: readonly (readonly [string, string | number, string?])[] = [
    ['requests of clients that behave', report.behavedRequests],
    ['of them failed', report.behavedFailures.length, '0'],
    ['slowest of them', `${report.slowestBehavedMs.toFixed(0)} ms`],
    ['hostile acts', Object.values(report.hostile.acts).reduce((sum, count) => sum + count, 0)],
    ['access lines', report.records],
    ['memory of extproc, peak', `${report.peakMemoryBytes >> 20} MB`, '≤ 400 MB'],
    ['event loop held by work of ours, at most', `${report.loop.workMs.toFixed(1)} ms`, '≤ 10 ms'],
    ['event loop held by anything, at most', `${report.loop.heldMs.toFixed(1)} ms`],
    ['longest pause of garbage collection', `${report.loop.gcMs.toFixed(1)} ms`],
    ['held at the end', report.held, '0'],
    [
      'output tokens that hostile clients got',
      Object.values(report.hostile.delivered).reduce((sum, count) => sum + count, 0),
    ],
    ['output tokens that were charged to all', report.charged],
    ['teams that got more than was charged', Object.keys(report.uncharged).length, '0'],
    ['faults in the log', report.faults.length, '0'],
  ];
  const acts = Object.entries(report.hostile.acts).toSorted(([left], [right]) => left.localeCompare(right));
  return [
    '# Hostile clients and providers',
    '',
    `${clients.hostile} hostile connections beside ${clients.behaved} clients that behave (half of them streams), for ${report.seconds} s, on one machine with its load: clients, providers, Envoy and extproc share ${os.cpus().length} cores. Node ${process.version}, seed ${report.seed}, load average at the end ${os.loadavg()[0]?.toFixed(1)}. Written by \`make soak\`.`,
    '',
    '| | measured | goal |',
    '|---|---:|---:|',
    ...rows.map(
      ([name, value, goal = '']) =>
        `| ${name} | ${typeof value === 'number' ? value.toLocaleString('en') : value} | ${goal} |`,
    ),
    '',
    '| Act | times |',
    '|---|---:|',
    ...acts.map(([name, count]) => `| ${name} | ${count.toLocaleString('en')} |`),
    '',
  ].join('\n');
}
