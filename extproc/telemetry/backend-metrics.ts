/** The metrics of backends: what they did not answer, and where failover sent requests on. */
import type { MetricTable } from '../../runtime/metric-table.ts';
import { backendFailure } from '../interruption.ts';
import type { RequestRecord } from '../record.ts';
import { boundedCells } from './bounded-cells.ts';
import { attribute, metric } from './names.ts';

export function newBackendMetrics(table: MetricTable): (record: RequestRecord) => void {
  const failures = boundedCells(table.sum(metric.backendFailures));
  const tried = boundedCells(table.sum(metric.backendAttempts));
  return ({ broken, backend, attempts }) => {
    if (broken !== undefined && backend !== undefined) {
      const failure = backendFailure(broken);
      failures(`${backend}\n${failure}`, () => ({ [attribute.backend]: backend, [attribute.failure]: failure }));
    }
    if (attempts === undefined) {
      return;
    }
    for (const { backend: at, cause } of attempts) {
      tried(`${at}\n${cause}`, () => ({
        [attribute.backend]: at,
        ...(cause !== undefined && { [attribute.failoverCause]: cause }),
      }));
    }
  };
}
