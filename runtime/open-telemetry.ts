/**
 * Starts OpenTelemetry for a process: metrics for Prometheus always, and OTLP if the standard
 * variables name an endpoint.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type MeterProvider as Meters, metrics } from '@opentelemetry/api';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { MeterProvider, type MetricProducer, type MetricReader } from '@opentelemetry/sdk-metrics';
import { metricProducer } from './metric-producer.ts';
import type { MetricTable } from './metric-table.ts';
import type { MetricsFormat } from './metrics-format.ts';
import { openMetricsText } from './open-metrics.ts';
import type { OtlpProtocol } from './otlp-protocols.ts';
import { prometheusText } from './prometheus-text.ts';
import type { TelemetryService } from './telemetry-resource.ts';

export interface OpenTelemetryOptions {
  readonly serviceName: string;
  /** Undefined: the metrics are not exported by OTLP. */
  readonly otlp: OtlpMetrics | undefined;
  /** Metrics of hot paths. */
  readonly tables: readonly MetricTable[];
}

export interface OtlpMetrics {
  readonly service: TelemetryService;
  readonly protocol: OtlpProtocol;
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

export interface OpenTelemetry {
  readonly meterProvider: Meters;
  /** Returns all metrics in a text format of Prometheus. */
  prometheusText(format?: MetricsFormat): Promise<string>;
  /** Exports for the last time, until the deadline. */
  shutdown(deadlineMs: number): Promise<void>;
}

/**
 * Sets the global meter provider; instruments that were created before have no effect. Call it once
 * per process.
 */
export async function startOpenTelemetry({ serviceName, otlp, tables }: OpenTelemetryOptions): Promise<OpenTelemetry> {
  const metricProducers = tables.map((table) => metricProducer(table, serviceName, Date.now));
  const reader = new PrometheusExporter({ preventServerStart: true, metricProducers });
  const serializer = new PrometheusSerializer(undefined, false, undefined, true, true);
  const provider = otlp ? await withOtlp(otlp, reader, metricProducers) : prometheusOnly(reader);
  return {
    meterProvider: metrics.getMeterProvider(),
    async prometheusText(format = 'prometheus') {
      const { resourceMetrics } = await reader.collect();
      return format === 'openmetrics' ? openMetricsText(resourceMetrics) : prometheusText(serializer, resourceMetrics);
    },
    shutdown: (deadlineMs) => Promise.race([provider.shutdown(), sleep(deadlineMs, undefined, { ref: false })]),
  };
}

function prometheusOnly(reader: MetricReader): MeterProvider {
  const provider = new MeterProvider({ readers: [reader] });
  metrics.setGlobalMeterProvider(provider);
  return provider;
}

/**
 * Loads the whole SDK here, because it takes 15 MB. Traces have a worker thread of their own, so
 * the SDK has only metrics.
 */
async function withOtlp(
  { service, protocol, intervalMs, timeoutMs }: OtlpMetrics,
  reader: MetricReader,
  metricProducers: MetricProducer[],
): Promise<{ shutdown(): Promise<void> }> {
  const [{ telemetryResource }, { NodeSDK }, { PeriodicExportingMetricReader }, exporter] = await Promise.all([
    import('./telemetry-resource.ts'),
    import('@opentelemetry/sdk-node'),
    import('@opentelemetry/sdk-metrics'),
    import('./metric-exporter.ts').then(({ newMetricExporter }) => newMetricExporter(protocol)),
  ]);
  const otlpReader = new PeriodicExportingMetricReader({
    exporter,
    metricProducers,
    exportIntervalMillis: intervalMs,
    exportTimeoutMillis: Math.min(timeoutMs, intervalMs),
  });
  const sdk = new NodeSDK({
    resource: telemetryResource(service),
    autoDetectResources: false,
    metricReaders: [reader, otlpReader],
    spanProcessors: [],
    logRecordProcessors: [],
    instrumentations: [],
  });
  sdk.start();
  return sdk;
}
