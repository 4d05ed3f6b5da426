/** Starts OpenTelemetry for a process: metrics for Prometheus always, OTLP where an endpoint is named by the standard variables. */
import type { MeterProvider } from '@opentelemetry/api';
import { metrics } from '@opentelemetry/api';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { NodeSDK } from '@opentelemetry/sdk-node';
import { metricProducer } from './metric-producer.ts';
import type { MetricTable } from './metric-table.ts';
import { prometheusText } from './prometheus-text.ts';

export interface OpenTelemetryOptions {
  readonly serviceName: string;
  /** `OTEL_EXPORTER_OTLP_ENDPOINT` is set: the SDK reads it, and the headers that belong to it, itself. */
  readonly otlp: boolean;
  /** Metrics of hot paths. */
  readonly tables: readonly MetricTable[];
}

export interface OpenTelemetry {
  readonly meterProvider: MeterProvider;
  /** All metrics in Prometheus' text format. */
  prometheusText(): Promise<string>;
  shutdown(): Promise<void>;
}

/** The global meter provider is set from here on: instruments made before stay without effect. Once a process. */
export function startOpenTelemetry({ serviceName, otlp, tables }: OpenTelemetryOptions): OpenTelemetry {
  const metricProducers = tables.map((table) => metricProducer(table, serviceName, Date.now));
  const reader = new PrometheusExporter({ preventServerStart: true, metricProducers });
  const serializer = new PrometheusSerializer(undefined, false, undefined, true, true);
  const sdk = new NodeSDK({
    serviceName,
    autoDetectResources: otlp,
    metricReaders: otlp
      ? [reader, new PeriodicExportingMetricReader({ exporter: new OTLPMetricExporter(), metricProducers })]
      : [reader],
    // Given as empty, the SDK does not start exporters of its own; not given, it reads the standard variables.
    ...(otlp ? {} : { spanProcessors: [] }),
    logRecordProcessors: [],
    instrumentations: [],
  });
  sdk.start();
  return {
    meterProvider: metrics.getMeterProvider(),
    async prometheusText() {
      const { resourceMetrics } = await reader.collect();
      return prometheusText(serializer, resourceMetrics);
    },
    shutdown: () => sdk.shutdown(),
  };
}
