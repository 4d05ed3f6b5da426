/**
 * Formats metrics as OpenMetrics, with exemplars, which the serializer of OpenTelemetry has not:
 * https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Attributes, AttributeValue } from '@opentelemetry/api';
import { DataPointType, type MetricData, type ResourceMetrics } from '@opentelemetry/sdk-metrics';
import type { PointWithExemplars } from './metric-producer.ts';
import type { Exemplar } from './metric-table.ts';
import { OPEN_METRICS_END } from './metrics-format.ts';

/** About a millisecond of work: a point of a histogram has about twenty lines. */
const POINTS_A_SLICE = 40;

export async function openMetricsText({ scopeMetrics }: ResourceMetrics): Promise<string> {
  const parts: string[] = [];
  for (const metric of scopeMetrics.flatMap(({ metrics }) => metrics)) {
    const family = familyName(metric.descriptor.name);
    const format = pointFormat(metric, family);
    if (format === undefined) {
      continue;
    }
    // A unit must be the end of the name, and these names are those of the text format.
    parts.push(`# TYPE ${family} ${format.type}\n# HELP ${family} ${escaped(metric.descriptor.description)}\n`);
    for (let from = 0; from < metric.dataPoints.length; from += POINTS_A_SLICE) {
      for (const point of metric.dataPoints.slice(from, from + POINTS_A_SLICE)) {
        parts.push(format.lines(point));
      }
      await nextTurn();
    }
  }
  parts.push(OPEN_METRICS_END);
  return parts.join('');
}

type MetricPoint = MetricData['dataPoints'][number];

interface PointFormat {
  readonly type: string;
  readonly lines: (point: MetricPoint) => string;
}

function pointFormat(metric: MetricData, family: string): PointFormat | undefined {
  switch (metric.dataPointType) {
    case DataPointType.SUM: {
      const name = metric.isMonotonic ? `${family}_total` : family;
      return { type: metric.isMonotonic ? 'counter' : 'gauge', lines: (point) => numberLine(name, point) };
    }
    case DataPointType.GAUGE:
      return { type: 'gauge', lines: (point) => numberLine(family, point) };
    case DataPointType.HISTOGRAM:
      return { type: 'histogram', lines: (point) => histogramLines(family, point as PointWithExemplars) };
    default:
      return undefined;
  }
}

function numberLine(name: string, { attributes, value }: MetricPoint): string {
  const labels = labelsOf(attributes);
  return `${name}${labels === '' ? '' : `{${labels}}`} ${numberText(value as number)}\n`;
}

function histogramLines(family: string, { attributes, value, exemplars }: PointWithExemplars): string {
  const labels = labelsOf(attributes);
  const { boundaries, counts } = value.buckets;
  const more = labels === '' ? '' : `${labels},`;
  let lines = '';
  let count = 0;
  for (const [index, inBucket] of counts.entries()) {
    count += inBucket;
    const bound = bucketBound(boundaries[index]);
    lines += `${family}_bucket{${more}le="${bound}"} ${count}${exemplarText(exemplars?.[index])}\n`;
  }
  const braces = labels === '' ? '' : `{${labels}}`;
  lines += `${family}_count${braces} ${value.count}\n`;
  // A sum of values below zero can fall, which the format forbids.
  const hasNegative = boundaries.some((bound) => bound < 0);
  return hasNegative || value.sum === undefined ? lines : `${lines}${family}_sum${braces} ${numberText(value.sum)}\n`;
}

function exemplarText(exemplar: Exemplar | undefined): string {
  if (exemplar === undefined) {
    return '';
  }
  const { traceId, spanId, value, timeMs } = exemplar;
  return ` # {trace_id="${traceId}",span_id="${spanId}"} ${numberText(value)} ${(timeMs / 1000).toFixed(3)}`;
}

/** Whole numbers have a decimal place. */
function bucketBound(bound: number | undefined): string {
  if (bound === undefined || bound === Number.POSITIVE_INFINITY) {
    return '+Inf';
  }
  return Number.isInteger(bound) ? bound.toFixed(1) : String(bound);
}

function numberText(value: number): string {
  return Number.isFinite(value) ? String(value) : Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}

function familyName(name: string): string {
  return sanitized(name).replace(/_total$/, '');
}

function sanitized(name: string): string {
  return name.replace(/[^a-zA-Z0-9_]/g, '_').replace(/_{2,}/g, '_');
}

function labelsOf(attributes: Attributes): string {
  return Object.entries(attributes)
    .map(([name, value]) => `${sanitized(name)}="${escaped(textOf(value))}"`)
    .join(',');
}

function textOf(value: AttributeValue | undefined): string {
  return typeof value === 'string' ? value : value === undefined ? '' : JSON.stringify(value);
}

function escaped(text: string): string {
  return text.replace(/\\/g, '\\\\').replace(/\n/g, '\\n').replace(/"/g, '\\"');
}
