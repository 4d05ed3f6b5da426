/** Writes the figures of the run with shared budgets as a page. */

export interface ExactnessRow {
  readonly incident: string;
  /** Requests by status, `left` or `broken`. */
  readonly outcomes: Readonly<Record<string, number>>;
  readonly samples: number;
  /** Samples in which spent and held were more than the limit. */
  readonly samplesOver: number;
  readonly mostOver: { readonly tokens: number; readonly nanos: number };
  /** Output tokens that the provider made while streams waited, by model; in the access lines. */
  readonly inFlight: { readonly counted: number; readonly priced: number };
  readonly finished: number;
  /** Finished requests that were charged something else than the provider reported. */
  readonly inexact: number;
  /** Requests that were cut, left or broken. */
  readonly others: number;
  readonly otherMade: number;
  readonly otherCharged: number;
  /** Charged, by the access lines. */
  readonly tokens: number;
  readonly nanos: number;
  /** Spent, by the store. */
  readonly storedTokens: number;
  readonly storedNanos: number;
  readonly recoveredTokens: number;
  readonly usedPercent: number;
}

export interface ExactnessRun {
  readonly rows: readonly ExactnessRow[];
  readonly streams: number;
  readonly seconds: number;
  readonly gateways: number;
  readonly tokens: number;
  readonly nanos: number;
}

export function exactnessPage({ rows, streams, seconds, gateways, tokens, nanos }: ExactnessRun): string {
  const head = [
    'incident',
    'samples of the store',
    'over the limit',
    'by at most, tokens / nano-units',
    '`undeliveredTokens`: token / money budget',
    'finished',
    'charged inexactly',
    'cut, left or broken',
    'of these, output made → charged',
    'tokens: access lines / store',
    'recovered',
    'nano-units: access lines / store',
    'used %',
  ];
  const cells = rows.map((row) => [
    row.incident,
    row.samples,
    row.samplesOver,
    `${row.mostOver.tokens} / ${row.mostOver.nanos}`,
    `${row.inFlight.counted} / ${row.inFlight.priced}`,
    row.finished,
    row.inexact,
    row.others,
    `${row.otherMade} → ${row.otherCharged}`,
    `${row.tokens} / ${row.storedTokens}`,
    row.recoveredTokens,
    `${row.nanos} / ${row.storedNanos}`,
    row.usedPercent.toFixed(2),
  ]);
  const line = (values: readonly unknown[]) => `| ${values.join(' | ')} |`;
  return `${[
    '# Exactness of shared budgets',
    `${new Date().toISOString()}. ${gateways} gateways share two budgets in one Redis with a replica and a Sentinel: ${tokens} tokens, and ${nanos} nano-units. Each row is a load of ${seconds} s by ${2 * streams} connections with streams and ${2 * streams} with JSON, half on each budget. Of eight streams, one client leaves. A quarter into the load, the incident happens.`,
    'A finished request is exact if tokens and nano-units of its access line are what the provider reported. Of a request that was cut, left or broken, the provider made more than was charged: what was on its way when the connection closed. What a killed processor had taken is charged in full (recovered).',
    [line(head), `|---|${'---:|'.repeat(head.length - 1)}`, ...cells.map(line)].join('\n'),
  ].join('\n\n')}\n`;
}
