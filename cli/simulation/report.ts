/** A simulation as text. */
import { table } from '../table.ts';
import type { SimulatedKey, SimulationGap } from './findings.ts';
import type { SimulationResult } from './replay.ts';

/** The most keys of the table; `--json` has all of them. */
const MAX_KEYS = 50;

/** Hold for every simulation. */
export const generalGaps: readonly SimulationGap[] = [
  {
    reason:
      'refused requests leave no records, and cut ones only what was served, so with higher limits the demand was higher than shown',
  },
  {
    reason:
      'requests before --since are replayed from the start of the windows that contain it, under the same quotas, and not shown',
  },
  {
    reason:
      'each request is decided at its recorded end by what it used, with its recorded caller, route and backend; no request holds what another needs, so queueTimeout has no effect',
  },
  {
    reason:
      'records have no bound of the output and no form of the request, so requestLimits, unbounded and access policies refuse nothing here',
  },
  { reason: 'quotas that are not simulated refuse nothing here, so the others may count more than in production' },
];

export function simulationText(result: SimulationResult): string {
  const { requests, first, last, refused, cut, quotas, keys, notSimulated, inexact } = result;
  const more = keys.length > MAX_KEYS ? `and ${keys.length - MAX_KEYS} more keys; --json lists all\n` : '';
  return [
    `${requests} requests from ${first} to ${last}: ${refused} would have been refused, ${cut} cut short.\n`,
    table(
      ['QUOTA', 'REQUESTS'],
      quotas.map(({ quota, requests }) => [quota, String(requests)]),
    ),
    keys.length === 0 ? '' : table(head, keys.slice(0, MAX_KEYS).map(cells)) + more,
    gaps('Not simulated', notSimulated),
    gaps('Inexact', inexact),
    gaps('Of all simulations', generalGaps),
  ]
    .filter((part) => part !== '')
    .join('\n');
}

const head = ['QUOTA', 'KEY', 'MODE', 'REFUSED', 'CUT', 'FIRST', 'NOT SERVED', 'INPUT', 'OUTPUT', 'COST', 'WHY'];

function cells(key: SimulatedKey): readonly string[] {
  return [
    key.quota,
    key.key.join() || '-',
    key.mode,
    String(key.refused),
    String(key.cut),
    key.first,
    `${key.amount} ${key.unit}`,
    String(key.inputTokens),
    String(key.outputTokens),
    pairs(key.cost, (currency, amount) => `${amount} ${currency}`),
    pairs(key.reasons, (reason, count) => `${reason}: ${count}`),
  ];
}

function pairs<T>(of: Readonly<Record<string, T>>, text: (name: string, value: T) => string): string {
  return (
    Object.entries(of)
      .map(([name, value]) => text(name, value))
      .join(', ') || '-'
  );
}

function gaps(title: string, list: readonly SimulationGap[]): string {
  const rows = list.map(({ quota, requests, reason }) => [
    quota ?? '-',
    requests === undefined ? 'all' : String(requests),
    reason,
  ]);
  return rows.length === 0 ? '' : `${title}:\n${table(['QUOTA', 'REQUESTS', 'REASON'], rows)}`;
}
