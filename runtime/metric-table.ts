/**
 * Metrics for hot paths. A caller keeps the cell of its attributes and adds to it without a
 * look-up: an instrument of the SDK takes 1.6 µs a call, a cell 0.02 µs. OpenTelemetry reads
 * `MetricTable.collect`.
 */
import type { Attributes } from '@opentelemetry/api';

export interface Description {
  readonly name: string;
  readonly unit: string;
  readonly description: string;
}

/** A span in which a value was recorded. */
export interface ExemplarSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly timeMs: number;
}

/** The latest value of a bucket with a span. */
export interface Exemplar extends ExemplarSpan {
  readonly value: number;
}

export class HistogramCell {
  readonly attributes: Attributes;
  readonly boundaries: readonly number[];
  readonly counts: number[];
  /** One per bucket at most; undefined where no value has a span. */
  exemplars: (Exemplar | undefined)[] | undefined;
  count = 0;
  sum = 0;
  min = Number.POSITIVE_INFINITY;
  max = Number.NEGATIVE_INFINITY;

  constructor(attributes: Attributes, boundaries: readonly number[]) {
    this.attributes = attributes;
    this.boundaries = boundaries;
    this.counts = new Array(boundaries.length + 1).fill(0);
  }

  /** Counts a value. Boundaries are inclusive upper bounds, as in OpenTelemetry. */
  record(value: number, span?: ExemplarSpan): void {
    const { boundaries, counts } = this;
    let bucket = 0;
    while (bucket < boundaries.length && value > boundaries[bucket]!) {
      bucket++;
    }
    counts[bucket]!++;
    this.count++;
    this.sum += value;
    if (value < this.min) {
      this.min = value;
    }
    if (value > this.max) {
      this.max = value;
    }
    if (span !== undefined) {
      const { traceId, spanId, timeMs } = span;
      this.exemplars ??= new Array(counts.length).fill(undefined);
      this.exemplars[bucket] = { value, traceId, spanId, timeMs };
    }
  }
}

export interface SumCell {
  readonly attributes: Attributes;
  value: number;
}

export type Metric =
  | { readonly type: 'histogram'; readonly description: Description; readonly cells: readonly HistogramCell[] }
  | { readonly type: 'sum' | 'gauge'; readonly description: Description; readonly cells: readonly SumCell[] };

export interface Histogram {
  /**
   * Returns a new cell. The caller ensures that no two cells have the same attributes, and bounds
   * their number.
   */
  cell(attributes: Attributes): HistogramCell;
}

export interface Sum {
  cell(attributes: Attributes): SumCell;
}

export interface MetricTable {
  histogram(description: Description, boundaries: readonly number[]): Histogram;
  sum(description: Description): Sum;
  /** Adds a sum that is kept elsewhere: `read` is called at each collection. */
  observedSum(description: Description, read: () => readonly SumCell[]): void;
  /** Adds a gauge: `read` is called at each collection. */
  gauge(description: Description, read: () => readonly SumCell[]): void;
  collect(): readonly Metric[];
  readonly startMs: number;
}

export function newMetricTable(nowMs: number): MetricTable {
  const metrics: (() => Metric)[] = [];
  return {
    startMs: nowMs,
    histogram(description, boundaries) {
      const cells: HistogramCell[] = [];
      metrics.push(() => ({ type: 'histogram', description, cells }));
      return {
        cell(attributes) {
          const cell = new HistogramCell(attributes, boundaries);
          cells.push(cell);
          return cell;
        },
      };
    },
    sum(description) {
      const cells: SumCell[] = [];
      metrics.push(() => ({ type: 'sum', description, cells }));
      return {
        cell(attributes) {
          const cell = { attributes, value: 0 };
          cells.push(cell);
          return cell;
        },
      };
    },
    observedSum(description, read) {
      metrics.push(() => ({ type: 'sum', description, cells: read() }));
    },
    gauge(description, read) {
      metrics.push(() => ({ type: 'gauge', description, cells: read() }));
    },
    collect: () => metrics.map((metric) => metric()).filter(({ cells }) => cells.length > 0),
  };
}
