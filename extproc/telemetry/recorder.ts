/**
 * Turns the record of each finished request into one access line and metrics. Takes a few
 * microseconds for each request, and bounds everything that clients choose.
 */
import { type MetricTable, newMetricTable } from '../../runtime/metric-table.ts';
import type { BudgetAlert, Overdraft } from '../quota/store.ts';
import { measuredAmount } from '../quota/units.ts';
import type { RequestRecord } from '../record.ts';
import { accessLine } from './access-line.ts';
import { newAccessMetrics } from './access-metrics.ts';
import { newBackendMetrics } from './backend-metrics.ts';
import { boundedCells } from './bounded-cells.ts';
import { newGuardMetrics } from './guard-metrics.ts';
import { attribute, boundaries, metric } from './names.ts';
import { type ObservedSources, observeSources } from './observed.ts';
import { newSeries } from './series.ts';
import { newStoreRecorder, type StoreRecorder } from './store-metrics.ts';

export interface Recorder {
  record(outcome: RequestRecord, overdrafts: readonly Overdraft[]): void;
  alert(alert: BudgetAlert): void;
  /** Counts an overdraft that is in no record of a request. */
  overdraft(overdraft: Overdraft): void;
  readonly store: StoreRecorder;
  /** Adds the metrics that are read from the sources at each collection. */
  observe(sources: ObservedSources): void;
  readonly table: MetricTable;
}

export interface RecorderOptions {
  /** Receives the access lines; absent: there are none. */
  readonly lines?: { write(line: string): void; readonly dropped: number } | undefined;
  readonly nowMs: number;
  /** Whether labels have the values of quota keys as SHA-256 only. */
  readonly hashesKeys?: boolean;
  /** Whether metrics have the names of the development version of the conventions, too. */
  readonly latest?: boolean;
  /** Whether the trace of a request is exported; absent: none is. */
  readonly isTraced?: ((outcome: RequestRecord) => boolean) | undefined;
}

export function newRecorder({ lines, nowMs, hashesKeys = false, latest = false, isTraced }: RecorderOptions): Recorder {
  const table = newMetricTable(nowMs);
  const seriesOf = newSeries(table, latest);
  const recordAccess = newAccessMetrics(table, hashesKeys);
  const recordGuard = newGuardMetrics(table);
  const recordBackend = newBackendMetrics(table);
  const decisions = boundedCells(table.sum(metric.decisions));
  const shadowRefused = boundedCells(table.sum(metric.shadowRefused));
  const overdraft = boundedCells(table.sum(metric.overdraft));
  const overdraftCost = boundedCells(table.sum(metric.overdraftCost));
  const alerts = boundedCells(table.sum(metric.alerts));
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

  const recordOverdraft = ({ bucket, amount, cause }: Overdraft) => {
    const { id, limit } = bucket.quota;
    const add = limit.type === 'Cost' ? overdraftCost : overdraft;
    add(`${id}\n${cause}`, () => ({ [attribute.quota]: id, [attribute.cause]: cause }), measuredAmount(limit, amount));
  };

  return {
    table,
    store: newStoreRecorder(table),
    record(outcome, overdrafts) {
      seriesOf(outcome).record(outcome, isTraced?.(outcome) ?? false);
      recordAccess(outcome);
      recordGuard(outcome);
      recordDecision(outcome);
      recordBackend(outcome);
      for (const one of overdrafts) {
        recordOverdraft(one);
      }
      lines?.write(accessLine(outcome, overdrafts));
    },
    alert({ bucket, percent }) {
      const { id } = bucket.quota;
      alerts(`${id}\n${percent}`, () => ({ [attribute.quota]: id, [attribute.threshold]: String(percent) }));
    },
    overdraft: recordOverdraft,
    observe: (sources) => observeSources(table, sources, hashesKeys),
  };
}
