/**
 * What is seen from outside: each finished request comes in with its outcome, and one access line
 * and the metrics go out. It costs a few microseconds a request, and everything that clients choose
 * is bounded.
 */
import { hash } from 'node:crypto';
import { type MetricTable, newMetricTable, type Sum, type SumCell } from '../../runtime/metric-table.ts';
import { backendFailure } from '../interruption.ts';
import type { BucketState, Overdraft, QuotaKeys } from '../quota/store.ts';
import type { RequestRecord } from '../record.ts';
import { accessLine } from './access-line.ts';
import { attribute, boundaries, metric } from './names.ts';
import { newSeries } from './series.ts';

export interface Recorder {
  record(outcome: RequestRecord, overdrafts: readonly Overdraft[]): void;
  /** Gauges are read from here on. */
  observe(sources: GaugeSources): void;
  readonly table: MetricTable;
}

export interface GaugeSources {
  /** Bounded; the buckets with the least left first. */
  readonly buckets: (count: number) => readonly BucketState[];
  readonly openStreams: () => number;
  readonly journalFails: () => boolean;
  readonly policyRefused: () => boolean;
  /** Bounded; the quotas with the most keys first. */
  readonly keys: (count: number) => readonly QuotaKeys[];
}

export interface RecorderOptions {
  /** Takes one line. Absent: no access lines. */
  readonly lines?: { write(line: string): void; readonly dropped: number } | undefined;
  readonly nowMs: number;
  /** Whether labels have the values of quota keys as SHA-256 only. */
  readonly hashesKeys?: boolean;
}

/** Buckets in a scrape: four lines each. */
const MAX_BUCKETS = 200;
/**
 * Pairs of quota and cause, route and decision: policies bound them, this is for policies that come
 * and go.
 */
const MAX_CELLS = 2000;

export function newRecorder({ lines, nowMs, hashesKeys = false }: RecorderOptions): Recorder {
  const table = newMetricTable(nowMs);
  const seriesOf = newSeries(table);
  const decisions = boundedCells(table.sum(metric.decisions));
  const shadowRefused = boundedCells(table.sum(metric.shadowRefused));
  const overdraft = boundedCells(table.sum(metric.overdraft));
  const backendFailures = boundedCells(table.sum(metric.backendFailures));
  const wait = table.histogram(metric.queueDuration, boundaries.durationSeconds).cell({});
  if (lines) {
    table.gauge(metric.recordsDropped, () => [{ attributes: {}, value: lines.dropped }]);
  }

  const recordDecision = ({ decision, route }: RequestRecord) => {
    if (decision.type === 'none') {
      return;
    }
    const refused = decision.type === 'refused' ? decision : undefined;
    decisions(`${decision.type}\n${route}\n${refused?.quota}\n${refused?.reason}`, () => ({
      [attribute.decision]: decision.type,
      ...(route !== undefined && { [attribute.route]: route }),
      ...(refused && { [attribute.quota]: refused.quota, [attribute.reason]: refused.reason }),
    }));
    if (decision.type === 'refused') {
      return;
    }
    if (decision.queuedMs > 0) {
      wait.record(decision.queuedMs / 1000);
    }
    for (const quota of decision.shadowRefused) {
      shadowRefused(quota, () => ({ [attribute.quota]: quota }));
    }
  };

  const recordFailure = ({ broken, backend }: RequestRecord) => {
    if (broken === undefined || backend === undefined) {
      return;
    }
    const failure = backendFailure(broken);
    backendFailures(`${backend}\n${failure}`, () => ({ [attribute.backend]: backend, [attribute.failure]: failure }));
  };

  return {
    table,
    record(outcome, overdrafts) {
      seriesOf(outcome).record(outcome);
      recordDecision(outcome);
      recordFailure(outcome);
      for (const { bucket, amount, cause } of overdrafts) {
        const { id } = bucket.quota;
        overdraft(`${id}\n${cause}`, () => ({ [attribute.quota]: id, [attribute.cause]: cause }), amount);
      }
      lines?.write(accessLine(outcome, overdrafts));
    },
    observe({ buckets, openStreams, journalFails, policyRefused, keys }) {
      table.gauge(metric.streamsOpen, () => [{ attributes: {}, value: openStreams() }]);
      table.gauge(metric.journalFails, () => [{ attributes: {}, value: journalFails() ? 1 : 0 }]);
      table.gauge(metric.policyRefused, () => [{ attributes: {}, value: policyRefused() ? 1 : 0 }]);
      const gauges = [
        [metric.quotaSpent, 'spent'],
        [metric.quotaHeld, 'held'],
        [metric.quotaLimit, 'limit'],
        [metric.quotaOverdraft, 'overdraft'],
      ] as const;
      const keyed = sameTurn(() => keys(MAX_BUCKETS));
      for (const [description, member] of [
        [metric.quotaKeys, 'keys'],
        [metric.quotaKeysLimit, 'most'],
      ] as const) {
        table.gauge(description, () =>
          keyed().map((of) => ({ attributes: { [attribute.quota]: of.quota }, value: of[member] })),
        );
      }
      const once = sameTurn(() => buckets(MAX_BUCKETS));
      for (const [description, member] of gauges) {
        table.gauge(description, () => once().map((state) => bucketCell(state, state[member], hashesKeys)));
      }
    },
  };
}

/**
 * All gauges of one collection are read in one turn of the event loop: choosing the buckets is the
 * dear part.
 */
function sameTurn<T>(read: () => T): () => T {
  let kept: { readonly value: T } | undefined;
  return () => {
    if (kept === undefined) {
      kept = { value: read() };
      setImmediate(() => {
        kept = undefined;
      });
    }
    return kept.value;
  };
}

function bucketCell({ bucket }: BucketState, value: number, hashesKeys: boolean): SumCell {
  const joined = bucket.values.join(',');
  const key = hashesKeys && joined !== '' ? `sha256:${hash('sha256', joined, 'base64url')}` : joined;
  const attributes = { [attribute.quota]: bucket.quota.id, [attribute.quotaKey]: key };
  return { attributes, value };
}

function boundedCells(
  sum: Sum,
): (key: string, attributes: () => Readonly<Record<string, string>>, by?: number) => void {
  const cells = new Map<string, SumCell>();
  let overflow: SumCell | undefined;
  return (key, attributes, by = 1) => {
    let cell = cells.get(key);
    if (cell === undefined && cells.size < MAX_CELLS) {
      cell = sum.cell(attributes());
      cells.set(key, cell);
    }
    if (cell === undefined) {
      overflow ??= sum.cell({ 'otel.metric.overflow': true });
      cell = overflow;
    }
    cell.value += by;
  };
}
