/** Starts OpenTelemetry for a process: metrics for Prometheus always, OTLP where an endpoint is named by the standard variables. */
import type { MeterProvider } from '@opentelemetry/api';
import { metrics } from '@opentelemetry/api';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { type MetricProducer, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { NodeSDK } from '@opentelemetry/sdk-node';

export interface OpenTelemetryOptions {
  readonly serviceName: string;
  /** `OTEL_EXPORTER_OTLP_ENDPOINT` is set: the SDK reads it, and the headers that belong to it, itself. */
  readonly otlp: boolean;
  /** Metrics that are aggregated elsewhere. */
  readonly producers: readonly MetricProducer[];
}

export interface OpenTelemetry {
  readonly meterProvider: MeterProvider;
  /** All metrics in Prometheus' text format. */
  prometheusText(): Promise<string>;
  shutdown(): Promise<void>;
}

/** The global meter provider is set from here on: instruments made before stay without effect. Once a process. */
export function startOpenTelemetry({ serviceName, otlp, producers }: OpenTelemetryOptions): OpenTelemetry {
  const metricProducers = [...producers];
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
      return serializer.serialize(resourceMetrics);
    },
    shutdown: () => sdk.shutdown(),
  };
}
