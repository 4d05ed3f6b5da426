/** Metrics of the shared quota store. */
import type { MetricTable } from '../../runtime/metric-table.ts';
import { attribute, boundaries, metric } from './names.ts';

export interface StoreRecorder {
  /** Records an exchange. */
  asked(outcome: 'answered' | 'failed', latencyMs: number): void;
  /** Records a change of the store's state. */
  changed(state: 'unused' | 'available' | 'lost'): void;
}

/** Without a shared store, there are no series. */
export function newStoreRecorder(table: MetricTable): StoreRecorder {
  const exchanges = table.sum(metric.storeExchanges);
  const durations = table.histogram(metric.storeDuration, boundaries.storeSeconds);
  const losses = table.sum(metric.storeLosses);
  const newCells = () => ({
    answered: exchanges.cell({ [attribute.outcome]: 'answered' }),
    failed: exchanges.cell({ [attribute.outcome]: 'failed' }),
    duration: durations.cell({}),
    losses: losses.cell({}),
  });
  let cells: ReturnType<typeof newCells> | undefined;
  let last: Parameters<StoreRecorder['changed']>[0] = 'unused';
  table.gauge(metric.storeLost, () => (last === 'unused' ? [] : [{ attributes: {}, value: last === 'lost' ? 1 : 0 }]));
  return {
    asked(outcome, latencyMs) {
      cells ??= newCells();
      cells[outcome].value++;
      if (outcome === 'answered') {
        cells.duration.record(latencyMs / 1000);
      }
    },
    changed(state) {
      cells ??= newCells();
      // A store that has not answered yet is not lost.
      cells.losses.value += state === 'lost' && last === 'available' ? 1 : 0;
      last = state;
    },
  };
}
