/** Exporters of metrics by OTLP that keep exemplars; those of OpenTelemetry leave them out. */
import { OTLPMetricExporterBase } from '@opentelemetry/exporter-metrics-otlp-http';
import { convertLegacyHttpOptions, createOtlpHttpExportDelegate } from '@opentelemetry/otlp-exporter-base/node-http';
import {
  type ISerializer,
  JsonMetricsSerializer,
  MetricsExporterMetricsHelper,
  ProtobufMetricsSerializer,
} from '@opentelemetry/otlp-transformer';
import { DataPointType, type PushMetricExporter, type ResourceMetrics } from '@opentelemetry/sdk-metrics';
import type { PointWithExemplars } from './metric-producer.ts';
import type { Exemplar } from './metric-table.ts';
import { metricsMessage } from './metrics-message.ts';
import type { OtlpProtocol } from './otlp-protocols.ts';

type MetricsSerializer = ISerializer<ResourceMetrics, unknown>;

/** The exporters read the endpoint, headers, timeout, compression and certificates themselves. */
export async function newMetricExporter(protocol: OtlpProtocol): Promise<PushMetricExporter> {
  switch (protocol) {
    case 'grpc':
      return grpcExporter();
    case 'http/json':
      return httpExporter('application/json', jsonSerializer);
    case 'http/protobuf':
      return httpExporter('application/x-protobuf', protobufSerializer);
    default:
      throw new Error(`unknown protocol ${protocol satisfies never}`);
  }
}

const protobufSerializer: MetricsSerializer = {
  serializeRequest: metricsMessage,
  deserializeResponse: (data) => ProtobufMetricsSerializer.deserializeResponse(data),
};

const jsonSerializer: MetricsSerializer = {
  serializeRequest: (metrics) => withExemplars(JsonMetricsSerializer.serializeRequest(metrics), metrics),
  deserializeResponse: (data) => JsonMetricsSerializer.deserializeResponse(data),
};

function httpExporter(type: string, serializer: MetricsSerializer): PushMetricExporter {
  const options = convertLegacyHttpOptions({}, 'METRICS', 'v1/metrics', { 'Content-Type': type });
  const component = 'otlp_http_metric_exporter';
  return new OTLPMetricExporterBase(
    createOtlpHttpExportDelegate(options, serializer, component, MetricsExporterMetricsHelper, undefined),
  );
}

async function grpcExporter(): Promise<PushMetricExporter> {
  const { convertLegacyOtlpGrpcOptions, createOtlpGrpcExportDelegate } = await import(
    '@opentelemetry/otlp-grpc-exporter-base'
  );
  const delegate = createOtlpGrpcExportDelegate(
    convertLegacyOtlpGrpcOptions({}, 'METRICS'),
    protobufSerializer,
    'otlp_grpc_metric_exporter',
    MetricsExporterMetricsHelper,
    undefined,
    'MetricsExportService',
    '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export',
  );
  return new OTLPMetricExporterBase(delegate);
}

interface JsonMetrics {
  readonly resourceMetrics: readonly {
    readonly scopeMetrics: readonly { readonly metrics: readonly JsonMetric[] }[];
  }[];
}

interface JsonMetric {
  readonly histogram?: { readonly dataPoints: readonly { exemplars?: readonly object[] }[] };
}

/** The JSON has scopes, metrics and points in the order of the metrics. */
function withExemplars(bytes: Uint8Array | undefined, { scopeMetrics }: ResourceMetrics): Uint8Array | undefined {
  if (bytes === undefined) {
    return undefined;
  }
  const json = JSON.parse(Buffer.from(bytes).toString()) as JsonMetrics;
  for (const [scope, { metrics }] of scopeMetrics.entries()) {
    for (const [index, metric] of metrics.entries()) {
      const points = json.resourceMetrics[0]?.scopeMetrics[scope]?.metrics[index]?.histogram?.dataPoints ?? [];
      const sources: readonly PointWithExemplars[] =
        metric.dataPointType === DataPointType.HISTOGRAM ? metric.dataPoints : [];
      for (const [at, { exemplars = [] }] of sources.entries()) {
        const found = exemplars.filter((exemplar) => exemplar !== undefined);
        if (found.length > 0 && points[at] !== undefined) {
          points[at].exemplars = found.map(jsonExemplar);
        }
      }
    }
  }
  return Buffer.from(JSON.stringify(json));
}

function jsonExemplar({ traceId, spanId, timeMs, value }: Exemplar): object {
  return { timeUnixNano: `${BigInt(Math.floor(timeMs * 1000)) * 1000n}`, asDouble: value, traceId, spanId };
}
