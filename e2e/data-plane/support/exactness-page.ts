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
  /** Streams that their clients left: output tokens that clients had, charged, and made. */
  readonly left: {
    readonly count: number;
    readonly received: number;
    readonly charged: number;
    readonly made: number;
  };
  /** Streams that the end of the budget cut. `undelivered` is a part of what was charged. */
  readonly cut: {
    readonly count: number;
    readonly made: number;
    readonly charged: number;
    readonly undelivered: number;
  };
  /** Output tokens charged beyond what was made and what is named as undelivered. */
  readonly invented: number;
  /** Published by the metrics of the gateways. */
  readonly overdrafts: { readonly tokens: number; readonly nanos: number };
  /** Charged, by the access lines. */
  readonly tokens: number;
  readonly nanos: number;
  /** Spent, by the store. */
  readonly storedTokens: number;
  readonly storedNanos: number;
  readonly recoveredTokens: number;
  readonly recoveredNanos: number;
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
    'left: client had → charged → made',
    'cut: made → charged (undelivered)',
    'overdrafts, tokens / nano-units',
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
    `${row.left.count}: ${row.left.received} → ${row.left.charged} → ${row.left.made}`,
    `${row.cut.count}: ${row.cut.made} → ${row.cut.charged} (${row.cut.undelivered})`,
    `${row.overdrafts.tokens} / ${row.overdrafts.nanos}`,
    `${row.tokens} / ${row.storedTokens}`,
    row.recoveredTokens,
    `${row.nanos} / ${row.storedNanos}`,
    row.usedPercent.toFixed(2),
  ]);
  const line = (values: readonly unknown[]) => `| ${values.join(' | ')} |`;
  return `${[
    '# Exactness of shared budgets',
    `${new Date().toISOString()}. ${gateways} gateways share two budgets in one Redis with a replica and a Sentinel: ${tokens} tokens, and ${nanos} nano-units. Each row is a load of ${seconds} s by ${2 * streams} connections with streams and ${2 * streams} with JSON, half on each budget. Of eight streams, one client leaves. A quarter into the load, the incident happens.`,
    'A finished request is exact if tokens and nano-units of its access line are what the provider reported. A stream that its client left is charged what reached the gateway: more than the client had by what Envoy had not sent yet, up to two events on a busy machine, and less than the provider made by what was on its way. A stream that was cut is charged what was delivered, and what the provider made at its usual rate while an extension was pending (`undeliveredTokens`). Only that can pass a limit, and what passes it in the end is published as overdrafts; metrics of killed processors are lost. What a killed processor had taken is charged in full (recovered).',
    [line(head), `|---|${'---:|'.repeat(head.length - 1)}`, ...cells.map(line)].join('\n'),
  ].join('\n\n')}\n`;
}
