/** Writes the results as a page: goals first, then comparisons, then single figures. */
import type { Comparison, CountRow, Figure, Goal, Machine, Results } from './results.ts';
import { added, both, emptyRate, failuresOf, ofEmpty, type Read, reached, SCENARIO_GOALS } from './summary.ts';

export function markdown(results: Results): string {
  const { comparisons, figures, counts } = results;
  const loads = comparisons.filter(({ kind }) => kind === 'load');
  const paced = comparisons.filter(({ kind }) => kind === 'paced');
  const parts = [...new Set(figures.map(({ part }) => part))];
  return [
    '# Benchmark results',
    heading(results),
    section('Goals', goals(comparisons, figures)),
    section('Under load', loads.length > 0 ? loadTable(loads) : ''),
    section('The limit of the transport', limitTable(loads)),
    section('Paced streams', paced.length > 0 ? pacedTable(paced) : ''),
    section('Memory and event loop of the processor', comparisons.length > 0 ? processorTable(comparisons) : ''),
    ...parts.map((part) =>
      section(part[0]!.toUpperCase() + part.slice(1), figureTable(figures.filter((one) => one.part === part))),
    ),
    section('Counts, where the provider gives none', counts.length > 0 ? countTable(counts) : ''),
    section('Failed responses', failures(comparisons)),
  ]
    .filter((text) => text !== '')
    .join('\n\n')
    .concat('\n');
}

/** Returns when and on what a measurement ran. */
export function machineLines(startedAt: string, machine: Machine): readonly string[] {
  return [
    `${startedAt}, commit ${machine.commit}, Node ${machine.node}, Envoy ${machine.envoy} with ${machine.envoyWorkers} workers on both sides.`,
    `${machine.cores} cores (${machine.cpu}), ${machine.memoryGb} GB, Linux ${machine.kernel}; load average at the start: ${machine.loadAverage.toFixed(2)}.`,
  ];
}

function heading({ startedAt, machine, options, comparisons }: Results): string {
  const pairs = [
    `Provider, client, both Envoys and the processor share these cores. Each scenario has ${options.rounds} pairs of ${options.seconds} s, Envoy alone and Tallygate in turn.`,
    'The figures are medians, and ratios by pair (minimum to maximum in brackets). Tallygate counts tokens and enforces one quota on every request.',
    'A separate run measures memory after a million requests: [soak](soak.md).',
  ];
  return [
    ...machineLines(startedAt, machine),
    ...(comparisons.length > 0 ? pairs : []),
    ...(options.soakRequests > 0
      ? [
          'The long run: unary responses and streams of 10 chunks in turn, 16 connections, all counted, one quota on each, no restart.',
        ]
      : []),
  ].join('\n');
}

function section(title: string, text: string): string {
  return text === '' ? '' : `## ${title}\n\n${text}`;
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), `|---|${'---:|'.repeat(head.length - 1)}`, ...rows.map(line)].join('\n');
}

function goals(comparisons: readonly Comparison[], figures: readonly Figure[]): string {
  const scenarios = SCENARIO_GOALS.flatMap(({ scenario, what, unit, value, goal }) =>
    comparisons
      .filter(({ name }) => name === scenario)
      .map((comparison) => goalRow(`${scenario}: ${what}`, value(comparison), unit, goal)),
  );
  const single = figures.flatMap(({ part, name, value, unit, goal }) =>
    goal === undefined ? [] : [goalRow(`${part}: ${name}`, value, unit, goal)],
  );
  const rows = [...scenarios, ...single];
  return rows.length === 0 ? '' : table(['', 'measured', 'goal', ''], rows);
}

function goalRow(name: string, value: number, unit: string, goal: Goal): readonly string[] {
  const { atLeast, atMost } = goal;
  const bounds = [atLeast === undefined ? '' : `≥ ${atLeast}`, atMost === undefined ? '' : `≤ ${atMost}`];
  const text = bounds.filter((bound) => bound !== '').join(' and ');
  return [name, withUnit(value, unit), withUnit(text, unit), reached(value, goal) ? 'reached' : '**missed**'];
}

function withUnit(value: number | string, unit: string): string {
  return `${typeof value === 'number' ? short(value) : value} ${unit}`.trim();
}

function loadTable(comparisons: readonly Comparison[]): string {
  const head = ['', 'requests/s alone', 'Tallygate', 'ratio', 'p50 ms', 'p99 ms', 'first byte p50 ms', 'added p50 ms'];
  return table(
    [...head, 'Envoy µs a request', 'processor µs a request'],
    comparisons.map((one) => {
      const rate = both(one, (sample) => sample.requestsPerSecond);
      const { median, least, most } = rate.ratio;
      return [
        one.name,
        short(rate.alone),
        short(rate.gateway),
        `**${short(median)}** (${short(least)}–${short(most)})`,
        fromTo(one, (sample) => sample.latencyMs.p50),
        fromTo(one, (sample) => sample.latencyMs.p99),
        fromTo(one, (sample) => sample.firstByteMs.p50),
        short(added(one, (sample) => sample.latencyMs.p50)),
        fromTo(one, (sample) => sample.envoyUs),
        short(both(one, (sample) => sample.processorUs ?? Number.NaN).gateway),
      ];
    }),
  );
}

const LIMIT_NOTE =
  'The limit is a processor on the same transport that only returns the bytes, measured in the same rounds.';

function limitTable(comparisons: readonly Comparison[]): string {
  const rows = comparisons.flatMap((one) => {
    const limit = emptyRate(one);
    if (limit === undefined) {
      return [];
    }
    const { median } = both(one, (sample) => sample.requestsPerSecond).ratio;
    const spent = (read: Read) => `${short(both(one, read).gateway)} / ${short(ofEmpty(one, read))}`;
    return [
      [
        one.name,
        short(median),
        `${short(limit.median)} (${short(limit.least)}–${short(limit.most)})`,
        `${((median / limit.median) * 100).toFixed(0)} %`,
        spent((sample) => sample.processorUs ?? Number.NaN),
        spent((sample) => sample.envoyUs),
      ],
    ];
  });
  const head = ['', 'ratio', 'limit', 'share of the limit', 'processor µs: Tallygate / limit', 'Envoy µs'];
  return rows.length === 0 ? '' : `${LIMIT_NOTE}\n\n${table(head, rows)}\n\n![Ratios to Envoy alone](ratios.svg)`;
}

function pacedTable(comparisons: readonly Comparison[]): string {
  const head = ['delay of a chunk', 'p50 ms', 'ratio', 'p99 ms', 'ratio', 'added p50 ms', 'first byte p50 ms'];
  return table(
    [...head, 'Envoy µs a chunk', 'processor µs a chunk'],
    comparisons.map((one) => [
      one.name,
      fromTo(one, (sample) => sample.chunkDelayMs.p50),
      short(both(one, (sample) => sample.chunkDelayMs.p50).ratio.median),
      fromTo(one, (sample) => sample.chunkDelayMs.p99),
      short(both(one, (sample) => sample.chunkDelayMs.p99).ratio.median),
      short(added(one, (sample) => sample.chunkDelayMs.p50)),
      fromTo(one, (sample) => sample.firstByteMs.p50),
      fromTo(one, (sample) => sample.envoyUs),
      short(both(one, (sample) => sample.processorUs ?? Number.NaN).gateway),
    ]),
  );
}

/** Returns the worst of all rounds, which an average would hide. */
function processorTable(comparisons: readonly Comparison[]): string {
  const most = ({ pairs }: Comparison, read: Read) => short(Math.max(...pairs.map(({ gateway }) => read(gateway))));
  return table(
    ['', 'resident MB', 'event loop delay p99 ms', 'max ms', 'longest GC pause ms'],
    comparisons.map((one) => [
      one.name,
      most(one, (sample) => (sample.processorResidentBytes ?? Number.NaN) / 2 ** 20),
      most(one, (sample) => sample.loop?.delayP99Ms ?? Number.NaN),
      most(one, (sample) => sample.loop?.delayMaxMs ?? Number.NaN),
      most(one, (sample) => sample.loop?.gcMaxMs ?? Number.NaN),
    ]),
  );
}

function figureTable(figures: readonly Figure[]): string {
  return table(
    ['', ''],
    figures.map(({ name, value, unit }) => [name, withUnit(value, unit)]),
  );
}

function countTable(rows: readonly CountRow[]): string {
  return table(
    ['recording', 'tokens', "provider's number", 'estimate', 'error', 'billed and not shown', 'source'],
    rows.map(({ recording, kind, provider, estimate, hidden, note }) => [
      recording,
      kind,
      String(provider),
      String(estimate),
      errorOf(estimate, provider),
      hidden === 0 ? '' : String(hidden),
      note,
    ]),
  );
}

function errorOf(estimate: number, provider: number): string {
  if (provider === 0) {
    return estimate === 0 ? '0.0 %' : '–';
  }
  return `${(((estimate - provider) / provider) * 100).toFixed(1)} %`;
}

function failures(comparisons: readonly Comparison[]): string {
  return comparisons
    .flatMap((one) => Object.entries(failuresOf(one)).map(([what, count]) => `- ${one.name}: ${what}: ${count}`))
    .join('\n');
}

function fromTo(comparison: Comparison, read: Read): string {
  const { alone, gateway } = both(comparison, read);
  return `${short(alone)} → ${short(gateway)}`;
}

/** Formats a number with three significant digits. */
export function short(value: number): string {
  if (!Number.isFinite(value)) {
    return '–';
  }
  if (value === 0) {
    return '0';
  }
  const digits = Math.max(0, Math.min(3, 2 - Math.floor(Math.log10(Math.abs(value)))));
  return value.toFixed(digits);
}
