/** The metrics of guardrails: what they found, and what they could not look at. */
import type { MetricTable } from '../../runtime/metric-table.ts';
import type { RequestRecord } from '../record.ts';
import { boundedCells } from './bounded-cells.ts';
import { attribute, metric } from './names.ts';

export function newGuardMetrics(table: MetricTable): (record: RequestRecord) => void {
  const findings = boundedCells(table.sum(metric.guardrailFindings));
  const failures = boundedCells(table.sum(metric.guardrailFailures));
  return ({ guard }) => {
    if (guard === undefined) {
      return;
    }
    for (const { rule, action, findings: found } of guard.rules) {
      for (const [type, count] of Object.entries(found)) {
        const attributes = () => ({
          [attribute.guardrail]: rule,
          [attribute.guardrailFinding]: type,
          [attribute.guardrailAction]: action,
        });
        findings(`${rule}\n${type}\n${action}`, attributes, count);
      }
    }
    for (const { rule, reason } of guard.failures) {
      failures(`${rule}\n${reason}`, () => ({ [attribute.guardrail]: rule, [attribute.reason]: reason }));
    }
  };
}
