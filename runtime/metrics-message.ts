/**
 * Encodes metrics as OTLP protobuf with their exemplars, which the serializer of OpenTelemetry
 * leaves out
 * (https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/metrics/v1/metrics.proto).
 */
import { type HrTime, ValueType } from '@opentelemetry/api';
import {
  AggregationTemporality,
  DataPointType,
  type MetricData,
  type ResourceMetrics,
} from '@opentelemetry/sdk-metrics';
import type { PointWithExemplars } from './metric-producer.ts';
import type { Exemplar } from './metric-table.ts';
import { writeAttribute } from './otlp-attributes.ts';
import { ProtobufWriter } from './protobuf-writer.ts';

export function metricsMessage({ resource, scopeMetrics }: ResourceMetrics): Uint8Array {
  const writer = new ProtobufWriter();
  const start = writer.begin(1);
  const resourceStart = writer.begin(1);
  writeAttributes(writer, 1, resource.attributes);
  // The dropped attributes.
  writer.integer(2, 0);
  writer.end(resourceStart);
  for (const { scope, metrics } of scopeMetrics) {
    const scopeMetricsStart = writer.begin(2);
    const scopeStart = writer.begin(1);
    writer.string(1, scope.name);
    if (scope.version) {
      writer.string(2, scope.version);
    }
    writer.end(scopeStart);
    for (const metric of metrics) {
      writeMetric(writer, metric);
    }
    writer.end(scopeMetricsStart);
  }
  writer.end(start);
  return writer.take();
}

function writeMetric(writer: ProtobufWriter, metric: MetricData): void {
  const { name, description, unit } = metric.descriptor;
  const start = writer.begin(2);
  writer.string(1, name);
  if (description !== '') {
    writer.string(2, description);
  }
  if (unit !== '') {
    writer.string(3, unit);
  }
  switch (metric.dataPointType) {
    case DataPointType.GAUGE: {
      const gauge = writer.begin(5);
      writeNumbers(writer, metric);
      writer.end(gauge);
      break;
    }
    case DataPointType.SUM: {
      const sum = writer.begin(7);
      writeNumbers(writer, metric);
      writer.integer(2, temporality(metric));
      if (metric.isMonotonic) {
        writer.integer(3, 1);
      }
      writer.end(sum);
      break;
    }
    case DataPointType.HISTOGRAM: {
      const histogram = writer.begin(9);
      for (const point of metric.dataPoints) {
        writeHistogram(writer, point);
      }
      writer.integer(2, temporality(metric));
      writer.end(histogram);
      break;
    }
    default:
    // No instrument here has exponential histograms.
  }
  writer.end(start);
}

function temporality({ aggregationTemporality }: MetricData): number {
  return aggregationTemporality === AggregationTemporality.DELTA ? 1 : 2;
}

type NumberMetric = Extract<MetricData, { readonly dataPointType: DataPointType.GAUGE | DataPointType.SUM }>;

function writeNumbers(writer: ProtobufWriter, { dataPoints, descriptor }: NumberMetric): void {
  for (const { startTime, endTime, value, attributes } of dataPoints) {
    const start = writer.begin(1);
    writeTime(writer, 2, startTime);
    writeTime(writer, 3, endTime);
    if (descriptor.valueType === ValueType.INT && value >= 0) {
      writer.fixed64(6, value);
    } else {
      writer.double(4, value);
    }
    writeAttributes(writer, 7, attributes);
    writer.end(start);
  }
}

function writeHistogram(writer: ProtobufWriter, point: PointWithExemplars): void {
  const { startTime, endTime, attributes, exemplars = [] } = point;
  const { buckets, count, sum, min, max } = point.value;
  const start = writer.begin(1);
  writeTime(writer, 2, startTime);
  writeTime(writer, 3, endTime);
  writer.fixed64(4, count);
  if (sum !== undefined) {
    writer.double(5, sum);
  }
  if (buckets.counts.length > 0) {
    writer.packedFixed64(6, buckets.counts);
  }
  if (buckets.boundaries.length > 0) {
    writer.packedDouble(7, buckets.boundaries);
  }
  for (const exemplar of exemplars) {
    if (exemplar !== undefined) {
      writeExemplar(writer, exemplar);
    }
  }
  writeAttributes(writer, 9, attributes);
  if (min !== undefined) {
    writer.double(11, min);
  }
  if (max !== undefined) {
    writer.double(12, max);
  }
  writer.end(start);
}

function writeExemplar(writer: ProtobufWriter, { timeMs, value, spanId, traceId }: Exemplar): void {
  const start = writer.begin(8);
  const seconds = Math.floor(timeMs / 1000);
  writer.nanos(2, seconds, Math.floor((timeMs - seconds * 1000) * 1e6));
  writer.double(3, value);
  writer.hex(4, spanId);
  writer.hex(5, traceId);
  writer.end(start);
}

function writeAttributes(
  writer: ProtobufWriter,
  field: number,
  attributes: ResourceMetrics['resource']['attributes'],
): void {
  for (const [name, value] of Object.entries(attributes)) {
    writeAttribute(writer, field, name, value);
  }
}

function writeTime(writer: ProtobufWriter, field: number, [seconds, nanos]: HrTime): void {
  writer.nanos(field, seconds, nanos);
}
