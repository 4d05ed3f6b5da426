/** Passes metric tables to OpenTelemetry's readers as aggregated data. */
import { type HrTime, ValueType } from '@opentelemetry/api';
import {
  AggregationTemporality,
  type DataPoint,
  DataPointType,
  type Histogram,
  type MetricData,
  type MetricProducer,
  type ResourceMetrics,
} from '@opentelemetry/sdk-metrics';
import type { Exemplar, Metric, MetricTable } from './metric-table.ts';

/** Readers replace this resource by their own. */
const NO_RESOURCE = { attributes: {} } as ResourceMetrics['resource'];

/** A point of a histogram, with what the SDK has no member for. */
export interface PointWithExemplars extends DataPoint<Histogram> {
  readonly exemplars?: readonly (Exemplar | undefined)[];
}

export function metricProducer(table: MetricTable, scope: string, now: () => number): MetricProducer {
  return {
    collect: async () => {
      const startTime = hrTime(table.startMs);
      const endTime = hrTime(now());
      const metrics = table.collect().map((metric) => metricData(metric, startTime, endTime));
      return {
        resourceMetrics: { resource: NO_RESOURCE, scopeMetrics: [{ scope: { name: scope }, metrics }] },
        errors: [],
      };
    },
  };
}

function metricData(metric: Metric, startTime: HrTime, endTime: HrTime): MetricData {
  const common = {
    descriptor: { ...metric.description, valueType: ValueType.DOUBLE },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
  };
  if (metric.type === 'histogram') {
    const dataPoints = metric.cells.map((cell): PointWithExemplars => {
      const { attributes, boundaries, counts, exemplars, count, sum, min, max } = cell;
      const value = {
        buckets: { boundaries: [...boundaries], counts: [...counts] },
        count,
        sum,
        ...(count > 0 && { min, max }),
      };
      return { startTime, endTime, attributes, value, ...(exemplars && { exemplars: [...exemplars] }) };
    });
    return { ...common, dataPointType: DataPointType.HISTOGRAM, dataPoints };
  }
  const dataPoints = metric.cells.map(({ attributes, value }) => ({ startTime, endTime, attributes, value }));
  return metric.type === 'sum'
    ? { ...common, dataPointType: DataPointType.SUM, isMonotonic: true, dataPoints }
    : { ...common, dataPointType: DataPointType.GAUGE, dataPoints };
}

function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000);
  return [seconds, Math.floor((ms - seconds * 1000) * 1e6)];
}
